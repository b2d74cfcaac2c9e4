//! Iterators and streams, by the item.

use std::{
    iter::FusedIterator,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;

use crate::track::Tracked;

impl<I: Iterator> Iterator for Tracked<I> {
    type Item = I::Item;

    #[inline]
    fn next(&mut self) -> Option<I::Item> {
        self.meter.begin_items(|| self.inner.size_hint());
        let item = self.inner.next()?;
        self.meter.add(1);
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.size_hint()
    }

    fn fold<B, F: FnMut(B, I::Item) -> B>(mut self, init: B, mut f: F) -> B {
        self.meter.begin_items(|| self.inner.size_hint());
        let meter = self.meter;
        self.inner.fold(init, |folded, item| {
            meter.add(1);
            f(folded, item)
        })
    }
}

impl<I: DoubleEndedIterator> DoubleEndedIterator for Tracked<I> {
    #[inline]
    fn next_back(&mut self) -> Option<I::Item> {
        self.meter.begin_items(|| self.inner.size_hint());
        let item = self.inner.next_back()?;
        self.meter.add(1);
        Some(item)
    }
}

impl<I: ExactSizeIterator> ExactSizeIterator for Tracked<I> {
    fn len(&self) -> usize {
        self.inner.len()
    }
}

impl<I: FusedIterator> FusedIterator for Tracked<I> {}

impl<S: Stream> Stream for Tracked<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        this.meter.begin_items(|| this.inner.size_hint());
        let item = ready!(this.inner.poll_next(cx));
        if item.is_some() {
            this.meter.add(1);
        }
        Poll::Ready(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.size_hint()
    }
}
