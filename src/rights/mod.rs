//! What a principal may do: policies as IAM has them, judged for every request before anything is done for it.
//!
//! A [`Policy`] is read from an IAM document or made of a [`Grant`], the short form. [`Rights`] are the policies of one principal,
//! compiled. [`Rights::judge`] takes a request apart into what IAM asks for (`checks`: actions on resources) and decides each. It is
//! denied by default, and a statement that denies wins. What cannot be judged is denied. Nothing here waits, and nothing is kept.

mod action;
mod asked;
mod checks;
mod condition;
mod context;
mod denial;
mod document;
mod grant;
mod judgement;
mod pattern;
mod principal;
mod resource;
mod truth;

#[cfg(test)]
mod tests;

pub use asked::Asked;
pub use checks::Schemas;
pub use denial::Denial;
pub use document::{Policy, PolicyError};
pub use grant::{Grant, GrantError};
pub use judgement::Rights;
pub use principal::Principal;
pub use resource::Place;
