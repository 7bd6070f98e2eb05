//! What stands around the steps for those who work through them: the [`lab`], the [`tour`] and the
//! [`doctor`].

pub mod doctor;
pub mod janitor;
pub mod lab;
mod lab_root;
pub mod prepare;
pub mod tour;
