//! What only Linux has.

pub mod beneath;
pub mod boot;
pub mod confine;
pub mod identity;
pub mod inotify;
pub mod lease;
pub mod space;
pub mod volume;
