//! Seeds that failed once, or whose worlds have something rare: they are run each time, for good. What a seed
//! draws may change when the simulation learns something new; then it is one more world.

/// Each with what it has shown.
pub const KEPT: &[(u64, &str)] = &[
    (
        60,
        "whoever follows a list was told nothing new, since the loop of the simulation did not hint",
    ),
    (
        873235,
        "a rotated file was the log again, and was asked for late bytes before it was followed",
    ),
    (
        815255,
        "in protocol 1 a log that was emptied has just as many bytes as are not compared again",
    ),
    (375, "in protocol 1, --once takes a file that was just renamed for the current one"),
    (446, "a list was awaited over a connection whose other end had lost power"),
    (1405, "--once gives up a responder whose host is down"),
    (2010, "--once gives up where the disk is full"),
    (5808, "an empty copy passed for one in step before anything was compared"),
    (
        27107,
        "what the cache had dropped after a failed sync was read, written back, and then taken for what came",
    ),
    (16112, "an empty file is deleted, and nothing can tell that no line came to it"),
    (
        26666,
        "what the cache had dropped was compared before the failed sync was told, and told as a loss",
    ),
    (
        36749,
        "in protocol 1 a log that was emptied keeps --once from being complete, and nothing is told as lost",
    ),
    (37388, "connections that were cut and answers of protocol 2 between them were told as a loss"),
    (43764, "as 26666, behind an end that was cut off"),
    (
        500790,
        "what the cache had dropped was found after a kill, compared before any sync, and told as a loss",
    ),
    (13639, "several generations were gone, and the loss that was told named the first of them"),
    (49304, "all that the log had after it was cut to a part, and was rotated, was here already"),
    (
        113815,
        "what was passed over came back from a backup later, as the beginning of a newer file",
    ),
    (
        150467,
        "a loss was told under the number of the file that a backup had brought back, and not yet in a line",
    ),
    (
        127731,
        "a power loss brought back the log before the one that was fetched, and that was gone",
    ),
    (
        295087,
        "nothing was had of a file, and its number was given to another where nothing else tells files apart",
    ),
    (
        58382,
        "what was passed over came back from a backup, behind the generation that was had next",
    ),
    (48063, "a file from a backup was taken for the one that was gone, and the loss told of that"),
    (
        34123,
        "what was compared after a power loss was cut off when the next connection found another file",
    ),
    (
        166589,
        "a line for late bytes was there though its sync had failed, and the archive was cut behind it",
    ),
    (
        178239,
        "a copy that somebody renamed had its line already, stayed the copy after a kill, and ended in another way",
    ),
    (
        293442,
        "a host lost power with its last deed before the calm, and its responder was away in it",
    ),
    (50826, "a log that was compressed to two formats was fetched twice"),
    (
        74332,
        "a power loss damaged a compressed log, and what was unpacked of it never was in the log",
    ),
    (
        282957,
        "a power loss damaged what a log was compressed to, behind less than was fetched of it",
    ),
    (289380, "what was passed over came back from a backup, and was due as that"),
    (
        287813,
        "a power loss made the log of a file that had been left, and it was rotated anew before anybody asked",
    ),
    (449495, "--once gave up a rotated log that was shorter than its copy"),
    (401487, "--once gave up an empty rotated log that was taken for the one before"),
    (415061, "zeros that the cache gave after a failed sync were believed by the next process"),
    (
        575291,
        "a file that was the log again was fetched anew, and what had come to it as late bytes as well",
    ),
    (
        309544,
        "a log compressed to two formats put the others out of order, and one of them was fetched twice",
    ),
    (
        102000,
        "a power loss gave a rotated log other bytes and left its time, and it was passed over",
    ),
    (67213, "what had the number of a deleted file passed for it, and nothing was told as lost"),
    (90919, "an older file was the log again after a power loss, and rotated before anybody asked"),
    (441089, "as 90919, where the power loss gave the older file other bytes as well"),
    (442951, "as 90919, and a second power loss gave it other bytes since"),
    (
        129949,
        "what a power loss had left of a copy was told by its digest, a byte of it was in some file, and that was taken",
    ),
    (999979, "a power loss undid the deletion of what had been told as lost"),
    (553620, "as 999979, of a file that had become another generation since"),
    (
        48446,
        "nothing was durable of a log that had been copied and emptied, and the copy was taken for it after a kill",
    ),
    (27735, "as 48446, over a fetcher that was killed several times"),
    (
        14663,
        "a copy was compressed before anything of it was durable, and passed over for the log that was emptied",
    ),
    (
        47257,
        "nothing was durable of a log that had been compressed, and an older one with a late line was taken for what follows",
    ),
    (29425, "a short log was copied, and sent behind its copy before it was emptied"),
    (
        87132,
        "as 14663, where the log that had been emptied was renamed and had become a rotated one since",
    ),
    (
        46963,
        "of a log that had been emptied nothing was had, and what was copied of it before passed for later than it",
    ),
    (
        96217,
        "a log was copied and emptied between the list and its opening, and the first byte was asked for",
    ),
    (
        649419,
        "a copy was not yet whole when it was listed, the log was emptied then, and a loss was told",
    ),
    (793293, "as 649419, where the copy had been begun long before"),
    (537365, "a power loss made bytes of a compressed file that nobody ever wrote"),
];
