//! Owned byte buffers, lent from the thread's pool.
//!
//! A block is taken when bytes are there to be put into it and goes back when it is dropped, so that
//! waiting connections own none. Steady state neither allocates nor clears memory.

use std::cell::RefCell;

use super::budget;

/// Room of a head block: what a waiting exchange keeps of its request, in case it is sent again.
const HEAD_BYTES: usize = 2 * 1024;

/// Room of a small block: a usual head, or one full TLS record (2^14 bytes, header and tag).
pub const SMALL_BYTES: usize = 17 * 1024;

/// Room of a bulk block: four full TLS records with their overhead, so that 64 KiB of a body travel
/// by one call.
pub const BULK_BYTES: usize = 68 * 1024;

/// Blocks of each size that a thread keeps for the next taker; more are given back to the allocator.
/// Small and bulk ones are seldom held over a wait, head blocks are.
const SPARE_MAX: usize = 64;

/// The same for head blocks: 2 MiB of them.
const SPARE_HEADS_MAX: usize = 1024;

/// Bytes with room before and behind: `[consumed | filled | room]`.
#[derive(Debug)]
pub struct Block {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

#[derive(Default)]
struct Pool {
    head: Vec<Box<[u8]>>,
    small: Vec<Box<[u8]>>,
    bulk: Vec<Box<[u8]>>,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

impl Pool {
    /// The spare blocks of a size, and how many there may be; `None` for sizes that are not kept.
    fn shelf(&mut self, size: usize) -> Option<(&mut Vec<Box<[u8]>>, usize)> {
        match size {
            HEAD_BYTES => Some((&mut self.head, SPARE_HEADS_MAX)),
            SMALL_BYTES => Some((&mut self.small, SPARE_MAX)),
            BULK_BYTES => Some((&mut self.bulk, SPARE_MAX)),
            _ => None,
        }
    }

    /// Gives everything back to the allocator.
    fn give_back(&mut self) {
        for spares in [&mut self.head, &mut self.small, &mut self.bulk] {
            budget::give(spares.iter().map(|bytes| bytes.len()).sum());
            spares.clear();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Gives the spare blocks of this thread back to the allocator.
pub fn give_back_spares() {
    POOL.with_borrow_mut(Pool::give_back);
}

/// The size of block that holds `count` bytes.
fn size_for(count: usize) -> usize {
    let kept = [HEAD_BYTES, SMALL_BYTES, BULK_BYTES].into_iter().find(|size| count <= *size);
    kept.unwrap_or_else(|| count.next_power_of_two())
}

impl Block {
    /// Nothing, without room; takes no memory.
    #[must_use]
    pub fn none() -> Self {
        Self { bytes: Box::default(), start: 0, end: 0 }
    }

    /// An empty block of at least `count` bytes.
    #[must_use]
    pub fn with_room(count: usize) -> Self {
        Self::lend(size_for(count))
    }

    /// An empty block of [`SMALL_BYTES`].
    #[must_use]
    pub fn small() -> Self {
        Self::lend(SMALL_BYTES)
    }

    /// An empty block of [`BULK_BYTES`].
    #[must_use]
    pub fn bulk() -> Self {
        Self::lend(BULK_BYTES)
    }

    fn lend(size: usize) -> Self {
        let spare = POOL.with_borrow_mut(|pool| pool.shelf(size)?.0.pop());
        let bytes = spare.unwrap_or_else(|| {
            budget::take(size);
            vec![0; size].into_boxed_slice()
        });
        Self { bytes, start: 0, end: 0 }
    }

    /// The bytes that were put and not consumed yet.
    #[must_use]
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The same, to be changed in place.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// The room behind them.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    /// How long [`Block::room`] is.
    #[must_use]
    pub fn room_left(&self) -> usize {
        self.bytes.len() - self.end
    }

    /// How many bytes are filled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether none are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The first `count` bytes of the room have been filled by somebody.
    pub fn add(&mut self, count: usize) {
        assert!(count <= self.room_left(), "no more can be filled than there was room");
        self.end += count;
    }

    /// The first `count` filled bytes are done with.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "no more can be consumed than was filled");
        self.start += count;
        if self.start == self.end {
            self.clear();
        }
    }

    /// Keeps the first `count` filled bytes only.
    pub fn truncate(&mut self, count: usize) {
        self.end = self.end.min(self.start + count);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// An empty block leaves `count` bytes free at its front, for [`Block::prepend`].
    pub fn leave_front(&mut self, count: usize) {
        assert!(self.is_empty() && count <= self.bytes.len(), "room in front of nothing yet");
        self.start = count;
        self.end = count;
    }

    /// Puts `bytes` before the filled ones; they must fit into the consumed front.
    pub fn prepend(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.start, "the front was left free for this");
        self.start -= bytes.len();
        self.bytes[self.start..self.start + bytes.len()].copy_from_slice(bytes);
    }

    /// Appends `bytes`, growing if they do not fit; callers bound what they put by a limit that has
    /// a name.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        if bytes.len() > self.room_left() {
            self.reserve(bytes.len());
        }
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// The same bytes in the smallest block that has room for as many again: a peer that has begun to
    /// say something may take its time with the rest.
    #[must_use]
    pub fn fitted(self) -> Self {
        let size = size_for(self.len() * 2);
        if size >= self.bytes.len() {
            return self;
        }
        let mut smaller = Self::lend(size);
        smaller.put(self.filled());
        smaller
    }

    /// Makes room for `count` more bytes: first by moving the filled ones to the front, then by
    /// growing to the next size.
    pub fn reserve(&mut self, count: usize) {
        if self.room_left() >= count {
            return;
        }
        let needed = self.len() + count;
        if needed <= self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
        } else {
            let mut larger = Self::with_room(needed);
            larger.bytes[..self.len()].copy_from_slice(self.filled());
            std::mem::swap(&mut self.bytes, &mut larger.bytes);
        }
        self.end -= self.start;
        self.start = 0;
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let size = bytes.len();
        // The thread may be ending, and its pool with it: then the block just goes.
        let kept = POOL.try_with(|pool| match pool.borrow_mut().shelf(size) {
            Some((spare, most)) if spare.len() < most => {
                spare.push(bytes);
                true
            }
            _ => false,
        });
        if size > 0 && !kept.unwrap_or(false) {
            budget::give(size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_through_in_order() {
        let mut block = Block::small();
        block.put(b"hello world");
        block.consume(6);
        assert_eq!(block.filled(), b"world");
        block.put(b"!");
        assert_eq!(block.filled(), b"world!");
        block.consume(6);
        assert_eq!(block.room_left(), SMALL_BYTES);
    }

    #[test]
    fn a_full_block_moves_then_grows() {
        let mut block = Block::small();
        block.put(&[1; SMALL_BYTES]);
        block.consume(10);
        block.put(&[2; 10]);
        assert_eq!((block.len(), block.room_left()), (SMALL_BYTES, 0));
        block.put(&[3; 1]);
        assert_eq!(block.len() + block.room_left(), BULK_BYTES);
        assert_eq!(
            block.filled()[SMALL_BYTES - 11..],
            [[1; 1].as_slice(), &[2; 10], &[3]].concat()
        );
    }

    #[test]
    fn a_little_waits_in_a_small_block() {
        for (length, size) in [(0, HEAD_BYTES), (1024, HEAD_BYTES), (1025, SMALL_BYTES)] {
            let mut block = Block::bulk();
            block.put(&[5; 7]);
            block.put(&vec![9; length]);
            block.consume(7);
            let block = block.fitted();
            assert_eq!((block.filled(), block.bytes.len()), (vec![9; length].as_slice(), size));
        }
    }

    #[test]
    fn a_dropped_block_is_lent_again() {
        let block = Block::bulk();
        let address = block.bytes.as_ptr();
        drop(block);
        assert_eq!(Block::bulk().bytes.as_ptr(), address);
    }

    /// Other tests hold blocks meanwhile, so this one is larger than all of theirs.
    #[test]
    fn what_is_held_is_counted() {
        const HUGE: u64 = 1 << 30;
        const TOLERANCE: u64 = HUGE / 2;
        let before = budget::held_bytes();
        let block = Block::with_room(HUGE as usize);
        assert!(budget::held_bytes() > before + TOLERANCE);
        drop(block);
        assert!(budget::held_bytes() < before + TOLERANCE, "it was not kept");
    }

    #[test]
    fn spares_are_counted_until_they_are_given_back() {
        // On a thread of its own nobody else takes them, and the count can be told from the pool.
        let spares = || POOL.with_borrow(|pool| pool.small.len() + pool.bulk.len());
        std::thread::spawn(move || {
            drop([Block::small(), Block::bulk()]);
            assert_eq!(spares(), 2);
            give_back_spares();
            assert_eq!(spares(), 0);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn the_front_takes_a_prefix() {
        let mut block = Block::small();
        block.leave_front(4);
        block.put(b"data");
        block.prepend(b"4\r\n");
        assert_eq!(block.filled(), b"4\r\ndata");
    }
}
