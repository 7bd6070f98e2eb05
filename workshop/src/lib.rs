//! What stands around the steps for those who work through them: the lab, the tour, the exercises and the
//! [`doctor`]. All but the doctor is for Linux only.

#[cfg(target_os = "linux")]
pub mod attacks;
pub mod doctor;
#[cfg(target_os = "linux")]
pub mod exercises;
#[cfg(target_os = "linux")]
pub mod guest;
#[cfg(target_os = "linux")]
pub mod janitor;
#[cfg(target_os = "linux")]
pub mod lab;
#[cfg(target_os = "linux")]
mod lab_root;
pub mod prepare;
#[cfg(target_os = "linux")]
pub mod session;
#[cfg(target_os = "linux")]
pub mod tour;
