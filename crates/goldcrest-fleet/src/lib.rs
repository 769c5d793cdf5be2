//! Virtual boards: real MicroPython processes on littlefs images, supervised so that resets, watchdogs,
//! timers and power cuts end them as they end a real board.
//!
//! A [`Board`] is made once ([`Board::create`] formats its flash), then started, cut and powered on at will;
//! what happens on it arrives as [`BoardEvent`]s. The board's side of this crate is `board/*.py`.

mod board;
mod control;
mod emulator;
mod event;
mod image;
mod leash;
mod micropython;
mod process;
mod supervisor;

pub use board::{Board, BoardSettings};
pub use event::{BoardEvent, Events, ResetCause};
pub use image::Tree;
pub use micropython::{MICROPYTHON_VARIABLE, Micropython};
pub use supervisor::FlashCounters;
