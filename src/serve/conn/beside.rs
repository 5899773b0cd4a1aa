//! What is done for a connection beside the loop, and what came of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::{Conn, Desk, Followed};
use crate::proto::printable;
use crate::proto::refusal::Refusal;
use crate::serve::errands::{self, Done, Found, Located, Proof, Search};
use crate::serve::finder::Unserved;
use crate::serve::finder::packed::{self, Body};
use crate::serve::jobs::{Hands, Lane};
use crate::serve::listing::{Listing, Look};
use crate::serve::session::{Answered, Input, Opening, Output, Piece};
use crate::serve::unpacking::Ending;
use crate::sys::logs::Logs;
use crate::sys::net::Socket;

impl<S: Socket, F: fmt::Debug + Send + 'static> Conn<S, F> {
    /// Has somebody do it; gives what is known at once.
    pub(super) fn have_done<L, H>(
        &mut self,
        output: Output,
        now: Instant,
        desk: &mut Desk<L, H>,
    ) -> Option<Input<'static>>
    where
        L: Logs<File = F> + Send + Sync + 'static,
        H: Hands<F>,
    {
        match output {
            // Somebody opens it, if it is the current file, and else it is looked for.
            Output::Find(request) => {
                let path = request.path.clone();
                let work = move |search: Search<L>, stop: &AtomicBool| {
                    search.follow_at_once(request, stop)
                };
                self.look_for(path, Lane::Read, now, desk, work)
            }
            Output::Locate(extent) => {
                let path = extent.path.clone();
                let work = move |search: Search<L>, stop: &AtomicBool| search.locate(&extent, stop);
                self.look_for(path, Lane::Find, now, desk, work)
            }
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

    /// Has somebody look for what is served with this path; what is not in the configuration need not be
    /// looked for.
    fn look_for<L, H>(
        &mut self,
        path: Vec<u8>,
        lane: Lane,
        now: Instant,
        desk: &mut Desk<L, H>,
        work: impl FnOnce(Search<L>, &AtomicBool) -> Done<F> + Send + 'static,
    ) -> Option<Input<'static>>
    where
        L: Logs<File = F> + Send + Sync + 'static,
        H: Hands<F>,
    {
        self.asked = path;
        let Some(number) = desk.files.look_up(&self.asked) else {
            return Some(self.refuse(Unserved::not_configured(), now, desk));
        };
        let search = desk.search(number);
        self.run(lane, desk, move |stop| work(search, stop));
        None
    }

    /// Has a thread do it.
    fn run<L, H: Hands<F>>(
        &mut self,
        lane: Lane,
        desk: &mut Desk<L, H>,
        work: impl FnOnce(&AtomicBool) -> Done<F> + Send + 'static,
    ) {
        self.errand = Some(desk.jobs.run(lane, self.slot, Box::new(work)));
    }

    /// Has the next piece of a range hashed.
    fn hash<L, H>(&mut self, proof: Proof<F>, desk: &mut Desk<L, H>)
    where
        L: Logs<File = F> + Send + Sync + 'static,
        H: Hands<F>,
    {
        let logs = Arc::clone(&desk.logs);
        let work = move |stop: &AtomicBool| proof.go_on(&*logs, stop);
        self.run(Lane::Read, desk, work);
    }

    /// What there is of a compressed file, or has somebody read on.
    fn unpack<L, H>(&mut self, desk: &mut Desk<L, H>) -> Option<Input<'static>>
    where
        L: Logs<File = F> + Send + Sync + 'static,
        H: Hands<F>,
    {
        let Some(followed) = &mut self.followed else { return Some(Input::Unreadable) };
        let Some(unpacking) = followed.packed.take() else {
            // Whoever has it has failed, unless it is still away.
            return self.errand.is_none().then_some(Input::Unreadable);
        };
        let piece = match (unpacking.rest().len(), unpacking.ending()) {
            (0, None) => {
                let work = move |_: &AtomicBool| errands::unpack(unpacking);
                self.run(Lane::Read, desk, work);
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
    pub(super) fn handle_done<L, H>(
        &mut self,
        now: Instant,
        desk: &mut Desk<L, H>,
    ) -> Option<Input<'static>>
    where
        L: Logs<File = F> + Send + Sync + 'static,
        H: Hands<F>,
    {
        match self.done.take()? {
            Done::Found(found) => Some(self.handle_found(found, now, desk)),
            // Who is looked for elsewhere does not hold up those who are not.
            Done::Elsewhere(request) => {
                let path = request.path.clone();
                let work =
                    move |search: Search<L>, stop: &AtomicBool| search.follow(&request, stop);
                self.look_for(path, Lane::Find, now, desk, work)
            }
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
    fn handle_found<L, H>(
        &mut self,
        found: Result<Found<F>, Unserved>,
        now: Instant,
        desk: &mut Desk<L, H>,
    ) -> Input<'static>
    where
        L: Logs<File = F> + Send + Sync + 'static,
        H: Hands<F>,
    {
        match (found, desk.files.look_up(&self.asked)) {
            (Ok(Found { body, seam, seen, answer, from, size, quiet }), Some(number)) => {
                let (file, packed, input) = match (body, answer) {
                    (Body::Packed(file, packed), Answered::Two(answer)) => {
                        (file, Some(packed), Input::Packed(answer))
                    }
                    (Body::Plain(file) | Body::Packed(file, _), answer) => {
                        (file, None, Input::Opened(Opening { answer, from, size, quiet }))
                    }
                };
                self.followed =
                    Some(Followed { number, file, packed, seam, seen, changed_at: now });
                input
            }
            (Ok(_), None) => self.refuse(Unserved::not_configured(), now, desk),
            (Err(unserved), _) => self.refuse(unserved, now, desk),
        }
    }

    fn refuse<L, H>(
        &self,
        unserved: Unserved,
        now: Instant,
        desk: &mut Desk<L, H>,
    ) -> Input<'static> {
        let Unserved { code, why } = unserved;
        desk.refused.note(now, self.peer, &self.asked, &why);
        let text = format!("cannot serve {}: {why}", printable(&self.asked));
        Input::Refused(Refusal::new(code, &text))
    }

    /// The answer is as old as the time it took to look. It is only asked for where all is sent and
    /// nobody writes, and who is told that a generation has ended asks for what else there is of it.
    fn seek_successor<L, H>(&mut self, desk: &mut Desk<L, H>) -> Option<Input<'static>>
    where
        L: Logs<File = F> + Send + Sync + 'static,
        H: Hands<F>,
    {
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
        let work = move |stop: &AtomicBool| search.successor(&facts, stop);
        self.run(Lane::Read, desk, work);
        None
    }

    /// Has somebody look for news of what is listed, if there may be any.
    fn list<L, H>(&mut self, desk: &mut Desk<L, H>) -> Option<Input<'static>>
    where
        L: Logs<File = F> + Send + Sync + 'static,
        H: Hands<F>,
    {
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
        self.run(Lane::Read, desk, work);
        None
    }
}

/// Whether more may come of a compressed file that ends early.
fn is_unfinished<L: Logs, H>(desk: &Desk<L, H>, file: &L::File) -> bool {
    let (linger, wall_ns) = (desk.times.linger, desk.logs.wall_ns());
    let facts = desk.logs.facts(file);
    facts.is_ok_and(|facts| packed::is_unfinished(&*desk.logs, file, &facts, linger, wall_ns))
}
