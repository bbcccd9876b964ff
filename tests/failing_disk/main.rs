//! Disks that fail or fill up at any moment (G12, R2, R8, R24): what is answered, what is lost (nothing
//! that was acknowledged), and what makes the store work again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod disk;
mod errors;
mod full;
mod midway;
#[cfg(target_os = "linux")]
mod small_file_system;
mod world;
