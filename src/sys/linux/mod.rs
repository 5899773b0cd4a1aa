//! What only Linux has.

pub mod beneath;
pub mod identity;
pub mod inotify;
pub mod lease;
