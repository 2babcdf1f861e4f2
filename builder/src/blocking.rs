//! Work that blocks, beside the threads that wait for the network.

/// Runs `f` where blocking is allowed, and waits for it. A panic of `f` goes on here.
pub(crate) async fn blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(f).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
