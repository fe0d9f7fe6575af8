//! Sockets, the ring, the clock and buffers. Knows nothing else of ours.
