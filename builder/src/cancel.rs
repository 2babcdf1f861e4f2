//! Asking a running build to stop. The command line holds the [`Canceller`]; whatever takes long holds a
//! [`Cancellation`], and looks at it between two pieces of work or waits for it beside them.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

/// The end that asks.
#[derive(Debug)]
pub struct Canceller(watch::Sender<bool>);

/// The end that is asked, by one or by several. Copies are cheap and all hear the same.
#[derive(Clone, Debug)]
pub struct Cancellation(Vec<watch::Receiver<bool>>);

/// Makes both ends.
pub fn channel() -> (Canceller, Cancellation) {
    let (sender, receiver) = watch::channel(false);
    (Canceller(sender), Cancellation(vec![receiver]))
}

impl Canceller {
    /// Asks everybody to stop. It cannot be taken back.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Waits until nobody is left who could be asked.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

impl Cancellation {
    /// One that never comes.
    pub fn never() -> Self {
        Self(Vec::new())
    }

    /// One that comes when this or `other` does.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self(self.0.iter().chain(&other.0).cloned().collect())
    }

    /// Whether to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.iter().any(|receiver| *receiver.borrow())
    }

    /// Waits until it is time to stop; forever, when nobody is left who could ask.
    pub async fn cancelled(&self) {
        let mut asked = FuturesUnordered::new();
        for receiver in &self.0 {
            let mut receiver = receiver.clone();
            asked.push(async move { receiver.wait_for(|asked| *asked).await.is_ok() });
        }
        while let Some(is_asked) = asked.next().await {
            if is_asked {
                return;
            }
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
    async fn who_asks_learns_when_nobody_is_left() {
        let (canceller, one) = channel();
        let two = one.or(&Cancellation::never());
        drop(one);
        assert!(timeout(Duration::from_millis(1), canceller.closed()).await.is_err());
        drop(two);
        canceller.closed().await;
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

    #[tokio::test(flavor = "current_thread")]
    async fn one_of_several_is_enough() {
        let ((first, one), (second, two)) = (channel(), channel());
        let both = one.or(&Cancellation::never()).or(&two);
        assert!(timeout(Duration::from_millis(1), both.cancelled()).await.is_err());
        // That one of them is gone says nothing.
        drop(first);
        assert!(timeout(Duration::from_millis(1), both.cancelled()).await.is_err());
        second.cancel();
        both.cancelled().await;
        assert!(both.is_cancelled() && two.is_cancelled() && !one.is_cancelled());
    }
}
