//! Text to typed values.
