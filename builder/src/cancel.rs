//! Asking a running build to stop. The command line holds the [`Canceller`]; whatever takes long holds a
//! [`Cancellation`], and looks at it between two pieces of work or waits for it beside them.

use tokio::sync::watch;

/// The end that asks.
#[derive(Debug)]
pub struct Canceller(watch::Sender<bool>);

/// The end that is asked. Copies are cheap and all hear the same.
#[derive(Clone, Debug)]
pub struct Cancellation(Option<watch::Receiver<bool>>);

/// Makes both ends.
pub fn channel() -> (Canceller, Cancellation) {
    let (sender, receiver) = watch::channel(false);
    (Canceller(sender), Cancellation(Some(receiver)))
}

impl Canceller {
    /// Asks everybody to stop. It cannot be taken back.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

impl Cancellation {
    /// One that never comes.
    pub fn never() -> Self {
        Self(None)
    }

    /// Whether to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.as_ref().is_some_and(|receiver| *receiver.borrow())
    }

    /// Waits until it is time to stop; forever, when nobody is left who could ask.
    pub async fn cancelled(&self) {
        if let Some(mut receiver) = self.0.clone()
            && receiver.wait_for(|asked| *asked).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test(flavor = "current_thread")]
    async fn every_copy_hears_it() {
        let (canceller, one) = channel();
        let two = one.clone();
        assert!(!one.is_cancelled());
        assert!(timeout(Duration::from_millis(1), one.cancelled()).await.is_err());
        canceller.cancel();
        two.cancelled().await;
        assert!(one.is_cancelled() && two.is_cancelled());
        // What was asked stays asked.
        drop(canceller);
        one.cancelled().await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn nobody_asks() {
        let (canceller, cancellation) = channel();
        drop(canceller);
        for cancellation in [cancellation, Cancellation::never()] {
            assert!(!cancellation.is_cancelled());
            assert!(timeout(Duration::from_millis(1), cancellation.cancelled()).await.is_err());
        }
    }
}
