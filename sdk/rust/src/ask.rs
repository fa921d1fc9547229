use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::future::FusedFuture;

/// Something asked of the host: the future of its answer.
///
/// The host hears of it when it is first polled, not before. Dropping it after that gives it up: a pause is closed, a
/// call cancelled. It is `Unpin` and fused, so `join!`, `select!` and `select` take it as it is.
#[must_use = "the host hears of it only when it is awaited"]
pub struct Ask<T> {
    /// None once the answer was given.
    answer: Option<Pin<Box<dyn Future<Output = T>>>>,
}

impl<T> Ask<T> {
    pub(crate) fn new(answer: impl Future<Output = T> + 'static) -> Self {
        Self { answer: Some(Box::pin(answer)) }
    }
}

impl<T> Future for Ask<T> {
    type Output = T;

    /// # Panics
    ///
    /// If the answer was already given.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let answer = self.answer.as_mut().expect("an ask is not polled after its answer");
        let answer = ready!(answer.as_mut().poll(cx));
        self.answer = None;
        Poll::Ready(answer)
    }
}

impl<T> FusedFuture for Ask<T> {
    fn is_terminated(&self) -> bool {
        self.answer.is_none()
    }
}

impl<T> fmt::Debug for Ask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").field("answered", &self.is_terminated()).finish()
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::select;

    use super::*;

    #[test]
    fn the_loser_of_a_select_is_still_open() {
        let (mut fast, mut slow) = (Ask::new(async { 1 }), Ask::new(std::future::pending::<u8>()));
        let won = block_on(async {
            select! { answer = fast => answer, answer = slow => answer }
        });
        assert_eq!(won, 1);
        assert!(fast.is_terminated());
        assert!(!slow.is_terminated());
    }
}
