//! Choices made by bytes.
//!
//! **Invariant:** bytes that are not there choose what a zero does.

/// Choices, one byte each.
pub(crate) struct Choices<'b>(Box<dyn Iterator<Item = &'b u8> + 'b>);

impl<'b> Choices<'b> {
    pub(crate) fn of(bytes: &'b [u8]) -> Self {
        Self(Box::new(bytes.iter()))
    }

    /// From the last byte to the first.
    pub(crate) fn from_behind(bytes: &'b [u8]) -> Self {
        Self(Box::new(bytes.iter().rev()))
    }

    pub(crate) fn next(&mut self) -> usize {
        self.0.next().copied().unwrap_or(0).into()
    }

    pub(crate) fn pick<'v, T: ?Sized>(&mut self, values: &[&'v T]) -> &'v T {
        values[self.next() % values.len()]
    }

    /// Whether to, with so many percent.
    pub(crate) fn with(&mut self, percent: usize) -> bool {
        self.next() * 100 / 256 >= 100 - percent
    }
}
