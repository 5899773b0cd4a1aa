//! Faulty fetchers, made by a file system that leaves out one of their calls: each of these must be
//! caught, or the simulation would not see if the fetcher itself left it out.

/// The last call of this life for a source that changed a name and that a sync may follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Last {
    Nothing,
    CreatedScratch,
    RenamedPointer,
    Archived,
    CreatedCopy,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// The copy is never synced: neither for checkpoints nor in R1.
    CopyNotSynced,
    /// The new pointer is not synced under its first name.
    ScratchNotSynced,
    /// The directory is not synced after the pointer was replaced.
    PointerNameNotSynced,
    /// A new process acts on names that may be in memory only.
    StartNotSynced,
    /// R3b is left out.
    ArchiveNameNotSynced,
    /// R5 is left out.
    CopyNameNotSynced,
    /// What was compared is not written again.
    NotWrittenAgain,
    /// A failed sync is taken for one that worked.
    SyncErrorsIgnored,
    /// Bytes go to the end of the copy, not to their place.
    Appending,
    /// Archives replace what has their name.
    ArchiveReplaced,
    /// The copy is not cut where it differs.
    NotCut,
    /// A new start of the machine goes unnoticed.
    BootStays,
    /// C2 of a group is left out.
    GroupNotSynced,
    /// C4 of a group is left out.
    GroupNamesNotSynced,
    /// A file that can't be written out in a group, or could not be since it was opened, is taken for
    /// one that was.
    WriteErrorsIgnored,
    /// R3d is left out: the manifest is not synced.
    ManifestNotSynced,
}

/// All of them, each with the seed from which on one that catches it is looked for: most are caught by
/// any few, a lost name is rare.
pub const MUTANTS: [(Mutant, u64); 16] = [
    (Mutant::CopyNotSynced, 0),
    (Mutant::ScratchNotSynced, 0),
    (Mutant::PointerNameNotSynced, 0),
    (Mutant::StartNotSynced, 1510),
    (Mutant::ArchiveNameNotSynced, 8830),
    (Mutant::CopyNameNotSynced, 0),
    (Mutant::NotWrittenAgain, 0),
    (Mutant::SyncErrorsIgnored, 0),
    (Mutant::Appending, 0),
    (Mutant::ArchiveReplaced, 0),
    (Mutant::NotCut, 0),
    (Mutant::BootStays, 0),
    (Mutant::GroupNotSynced, 0),
    (Mutant::GroupNamesNotSynced, 350),
    (Mutant::WriteErrorsIgnored, 240),
    (Mutant::ManifestNotSynced, 0),
];

impl Mutant {
    /// Whether a sync of a directory is left out that follows `last`.
    pub fn skips_sync_dir(self, last: Last) -> bool {
        matches!(
            (self, last),
            (Mutant::PointerNameNotSynced, Last::RenamedPointer)
                | (Mutant::StartNotSynced, Last::Nothing)
                | (Mutant::ArchiveNameNotSynced, Last::Archived)
                | (Mutant::CopyNameNotSynced, Last::CreatedCopy)
        )
    }

    /// Whether a sync of the whole file system is left out that follows `last`.
    pub fn skips_sync_all(self, last: Last) -> bool {
        match self {
            Mutant::GroupNotSynced => last == Last::CreatedScratch,
            Mutant::GroupNamesNotSynced | Mutant::PointerNameNotSynced => {
                last == Last::RenamedPointer
            }
            _ => false,
        }
    }
}
