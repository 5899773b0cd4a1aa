//! What is done for a connection beside the loop, and what came of it.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::{Conn, Desk, Followed};
use crate::proto::ask::Extent;
use crate::proto::printable;
use crate::proto::refusal::Refusal;
use crate::proto::request::Request;
use crate::serve::errands::{self, Done, Found, Located, Proof, Search};
use crate::serve::finder::Unserved;
use crate::serve::finder::packed::{self, Body};
use crate::serve::jobs::Lane;
use crate::serve::listing::{Listing, Look};
use crate::serve::session::{Answered, Input, Opening, Output, Piece};
use crate::serve::unpacking::Ending;
use crate::sys::clock;
use crate::sys::logs::Logs;

impl Conn {
    /// Has somebody do it; gives what is known at once.
    pub(super) fn have_done(
        &mut self,
        output: Output,
        now: Instant,
        desk: &mut Desk,
    ) -> Option<Input<'static>> {
        match output {
            Output::Find(request) => self.find(request, now, desk),
            Output::Locate(extent) => self.locate(extent, now, desk),
            Output::Hash(range) => match self.proved.take() {
                Some(body) => {
                    self.hash(Proof::new(body, range), desk);
                    None
                }
                None => Some(Input::Unreadable),
            },
            Output::Unpack => self.unpack(desk),
            Output::Enlist(glob) => {
                self.listing = Some(Box::new(Listing::new(glob)));
                self.look = Look::All;
                self.list(desk)
            }
            Output::List => self.list(desk),
            Output::SeekSuccessor => self.seek_successor(desk),
            _ => None,
        }
    }

    /// Something about a served file has changed, or anything may have.
    pub fn hint(&mut self, look: Look) {
        self.look.add(look);
    }

    /// Whether it is listed to what is served.
    pub fn is_listing(&self) -> bool {
        self.is_listing
    }

    /// Has somebody open it, if it is the current file, and else look for it.
    fn find(&mut self, request: Request, now: Instant, desk: &mut Desk) -> Option<Input<'static>> {
        let search = match self.search(&request.path, now, desk) {
            Ok(search) => search,
            Err(refused) => return Some(refused),
        };
        let work = move |stop: &AtomicBool| search.follow_at_once(request, stop);
        self.errand = Some(desk.jobs.run(Lane::Read, self.slot, work));
        None
    }

    /// Who is looked for elsewhere does not hold up those who are not.
    fn find_elsewhere(
        &mut self,
        request: Request,
        now: Instant,
        desk: &mut Desk,
    ) -> Option<Input<'static>> {
        let search = match self.search(&request.path, now, desk) {
            Ok(search) => search,
            Err(refused) => return Some(refused),
        };
        let work = move |stop: &AtomicBool| search.follow(&request, stop);
        self.errand = Some(desk.jobs.run(Lane::Find, self.slot, work));
        None
    }

    /// The same for a range that is to be proved.
    fn locate(
        &mut self,
        extent: Box<Extent>,
        now: Instant,
        desk: &mut Desk,
    ) -> Option<Input<'static>> {
        let search = match self.search(&extent.path, now, desk) {
            Ok(search) => search,
            Err(refused) => return Some(refused),
        };
        let work = move |stop: &AtomicBool| search.locate(&extent, stop);
        self.errand = Some(desk.jobs.run(Lane::Find, self.slot, work));
        None
    }

    /// What is not in the configuration need not be looked for.
    fn search(
        &mut self,
        path: &[u8],
        now: Instant,
        desk: &mut Desk,
    ) -> Result<Search, Input<'static>> {
        self.asked = path.to_vec();
        match desk.files.look_up(path) {
            Some(number) => Ok(desk.search(number)),
            None => Err(self.refuse(Unserved::not_configured(), now, desk)),
        }
    }

    /// Has the next piece of a range hashed.
    fn hash(&mut self, proof: Proof, desk: &mut Desk) {
        let logs = Arc::clone(&desk.logs);
        let work = move |stop: &AtomicBool| proof.go_on(&logs, stop);
        self.errand = Some(desk.jobs.run(Lane::Read, self.slot, work));
    }

    /// What there is of a compressed file, or has somebody read on.
    fn unpack(&mut self, desk: &mut Desk) -> Option<Input<'static>> {
        let Some(followed) = &mut self.followed else { return Some(Input::Unreadable) };
        let Some(unpacking) = followed.packed.take() else {
            // Whoever has it has failed, unless it is still away.
            return self.errand.is_none().then_some(Input::Unreadable);
        };
        let piece = match (unpacking.rest().len(), unpacking.ending()) {
            (0, None) => {
                let work = move |_: &AtomicBool| errands::unpack(unpacking);
                self.errand = Some(desk.jobs.run(Lane::Read, self.slot, work));
                return None;
            }
            (0, Some(Ending::Whole)) => Piece::End,
            (0, Some(Ending::Damaged(_))) if is_unfinished(desk, &followed.file) => {
                Piece::Unfinished
            }
            // The operator is told when the next request finds it so.
            (0, Some(Ending::Damaged(_))) => Piece::Damaged,
            (count, _) => Piece::Bytes(count),
        };
        followed.packed = Some(unpacking);
        Some(Input::Ready(piece))
    }

    /// What was done for it, if it may be told at any time.
    pub(super) fn handle_done(&mut self, now: Instant, desk: &mut Desk) -> Option<Input<'static>> {
        match self.done.take()? {
            Done::Found(found) => Some(self.handle_found(found, now, desk)),
            Done::Elsewhere(request) => self.find_elsewhere(request, now, desk),
            Done::Located(Ok(Located { body, answer, to })) => {
                self.proved = Some(body);
                Some(Input::Located(answer, to))
            }
            Done::Located(Err(unserved)) => Some(self.refuse(unserved, now, desk)),
            Done::Hashed(proof) => match proof.result() {
                Some(Ok(whole)) => Some(Input::Hashed(whole)),
                Some(Err(())) => Some(Input::Unreadable),
                None => {
                    self.hash(*proof, desk);
                    None
                }
            },
            Done::Unpacked(unpacking) => {
                if let Some(followed) = &mut self.followed {
                    followed.packed = Some(unpacking);
                }
                None
            }
            Done::Listed(listing, news) => {
                let complete = !listing.is_looking();
                self.listing = Some(listing);
                Some(Input::Listed { news, complete })
            }
            Done::Failed if self.followed.is_none() => Some(Input::Unreadable),
            // It will be asked for again.
            Done::Failed => None,
            done @ Done::Successor(_) => {
                self.done = Some(done);
                None
            }
        }
    }

    /// The configuration may have been read again meanwhile; who is no longer served was closed then.
    fn handle_found(
        &mut self,
        found: Result<Found, Unserved>,
        now: Instant,
        desk: &mut Desk,
    ) -> Input<'static> {
        match (found, desk.files.look_up(&self.asked)) {
            (Ok(Found { body, seam, seen, answer, from, size, quiet }), Some(number)) => {
                match (body, answer) {
                    (Body::Packed(file, packed), Answered::Two(answer)) => {
                        let packed = Some(packed);
                        self.followed =
                            Some(Followed { number, file, packed, seam, seen, changed_at: now });
                        Input::Packed(answer)
                    }
                    (Body::Plain(file) | Body::Packed(file, _), answer) => {
                        let packed = None;
                        self.followed =
                            Some(Followed { number, file, packed, seam, seen, changed_at: now });
                        Input::Opened(Opening { answer, from, size, quiet })
                    }
                }
            }
            (Ok(_), None) => self.refuse(Unserved::not_configured(), now, desk),
            (Err(unserved), _) => self.refuse(unserved, now, desk),
        }
    }

    fn refuse(&self, unserved: Unserved, now: Instant, desk: &mut Desk) -> Input<'static> {
        let Unserved { code, why } = unserved;
        desk.refused.note(now, self.peer, &self.asked, &why);
        let text = format!("cannot serve {}: {why}", printable(&self.asked));
        Input::Refused(Refusal::new(code, &text))
    }

    /// The answer is as old as the time it took to look. It is only asked for where all is sent and
    /// nobody writes, and who is told that a generation has ended asks for what else there is of it.
    fn seek_successor(&mut self, desk: &mut Desk) -> Option<Input<'static>> {
        if let Some(Done::Successor(there)) = self.done.take() {
            return Some(Input::Successor(there));
        }
        if self.errand.is_some() {
            return None;
        }
        let Some(Followed { number, file, .. }) = &self.followed else {
            return Some(Input::Unreadable);
        };
        let Ok(facts) = desk.logs.facts(file) else { return Some(Input::Unreadable) };
        let search = desk.search(*number);
        self.errand =
            Some(desk.jobs.run(Lane::Read, self.slot, move |stop| search.successor(&facts, stop)));
        None
    }

    /// Has somebody look for news of what is listed, if there may be any.
    fn list(&mut self, desk: &mut Desk) -> Option<Input<'static>> {
        self.is_listing = true;
        let Some(mut listing) = self.listing.take() else {
            // Whoever has it has failed, unless it is still away.
            return self.errand.is_none().then_some(Input::Unreadable);
        };
        if !listing.is_looking() {
            match self.look.take() {
                Look::Nothing => {
                    self.listing = Some(listing);
                    return None;
                }
                look => listing.begin(look, &desk.files),
            }
        }
        let logs = Arc::clone(&desk.logs);
        let work = move |_: &AtomicBool| {
            let news = listing.look(&*logs);
            Done::Listed(listing, news)
        };
        self.errand = Some(desk.jobs.run(Lane::Read, self.slot, work));
        None
    }
}

/// Whether more may come of a compressed file that ends early.
fn is_unfinished(desk: &Desk, file: &File) -> bool {
    let (linger, wall_ns) = (desk.times.linger, clock::wall_ns());
    let facts = desk.logs.facts(file);
    facts.is_ok_and(|facts| packed::is_unfinished(&*desk.logs, file, &facts, linger, wall_ns))
}
