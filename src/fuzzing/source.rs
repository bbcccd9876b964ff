//! Turns a fuzzer's bytes into choices. Behind their end everything is zero.

/// What is left of the fuzzer's bytes.
pub(super) struct Source<'a> {
    rest: &'a [u8],
}

impl<'a> Source<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else {
            return 0;
        };
        self.rest = rest;
        *first
    }

    pub(super) fn below(&mut self, limit: u8) -> u8 {
        self.byte() % limit
    }

    /// Numbers of all widths, and often those at the edges of one.
    pub(super) fn number(&mut self) -> u64 {
        let shape = self.byte();
        let value = (0..shape % 9).fold(0, |value, _| value << 8 | u64::from(self.byte()));
        if shape >= 200 {
            value.wrapping_sub(1)
        } else {
            value
        }
    }

    pub(super) fn bytes(&mut self, longest: usize) -> &'a [u8] {
        let len = (self.number() as usize % (longest + 1)).min(self.rest.len());
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    pub(super) fn text(&mut self, longest: usize) -> String {
        String::from_utf8_lossy(self.bytes(longest)).into_owned()
    }
}
