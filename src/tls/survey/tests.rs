//! Greetings and answers, byte by byte, and both against the library.
