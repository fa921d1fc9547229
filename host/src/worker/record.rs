//! The journal of an attempt: what its guest was told, and how much of that is written.

use super::live::Kept;
use crate::crash;
use crate::db::Db;
use crate::db::claims::{Claim, FencedResult};
use crate::db::entries::{NewEntries, NewEntry};

/// At most so many entries, and bytes of them, wait to be written.
const UNWRITTEN_MAX: usize = 64;
const UNWRITTEN_BYTES_MAX: usize = 64 << 10;

/// The end of a journal, as one attempt writes it.
///
/// An answer that is in no row is written before the guest is given it. A decision and the outcome of a call are on disk
/// already: the next attempt would find them again, and may then give them in their place. So they wait for the next write
/// of this attempt, and are always written before, or with, anything that may have come of them: an effect outside, another
/// row, a line of the log.
pub(super) struct Record<'a> {
    db: &'a Db,
    claim: &'a Claim,
    /// How many entries are written.
    written: usize,
    unwritten: Vec<NewEntry>,
    unwritten_bytes: usize,
}

impl<'a> Record<'a> {
    /// After this many entries.
    pub(super) fn new(db: &'a Db, claim: &'a Claim, written: usize) -> Self {
        Self { db, claim, written, unwritten: vec![], unwritten_bytes: 0 }
    }

    /// Adds what the guest is about to be told. It may be told once this returns.
    pub(super) async fn add(&mut self, entry: NewEntry, kept: Kept) -> FencedResult<()> {
        self.unwritten_bytes += entry.bytes();
        self.unwritten.push(entry);
        crash::point("before_append");
        let is_much = self.unwritten.len() >= UNWRITTEN_MAX || self.unwritten_bytes >= UNWRITTEN_BYTES_MAX;
        if (kept == Kept::Nowhere || is_much)
            && let Err(fenced) = self.write().await?
        {
            return Ok(Err(fenced));
        }
        crash::point("after_append");
        Ok(Ok(()))
    }

    /// Once this returns, all of it is written.
    pub(super) async fn write(&mut self) -> FencedResult<()> {
        if self.unwritten.is_empty() {
            return Ok(Ok(()));
        }
        let written = self.db.append(self.claim, self.unwritten()).await?;
        if written.is_ok() {
            self.is_written();
        }
        Ok(written)
    }

    /// What the next write has to contain.
    pub(super) fn unwritten(&self) -> NewEntries<'_> {
        NewEntries { from: self.written, entries: &self.unwritten }
    }

    /// Another write has contained it.
    pub(super) fn is_written(&mut self) {
        self.written += self.unwritten.len();
        self.unwritten.clear();
        self.unwritten_bytes = 0;
    }
}
