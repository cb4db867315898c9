//! The faults of an upstream. Names only; `answer` implements them.

/// What goes wrong, for requests to whose path it is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Sends other bytes of the same length under the requested digest.
    OtherBytes,
    /// Sends half of what it announced, then closes the connection.
    Cut,
    /// Sends half, then nothing more, without closing.
    StallInside,
    /// Takes the request and never answers.
    Silence,
    /// Answers 200 with a page of HTML, as captive portals do.
    Html,
    /// Answers 500 with HTML.
    ServerError,
    /// Answers 429 without end.
    TooMany,
    /// Answers with a manifest that never ends.
    Endless,
    /// Claims another digest in `Docker-Content-Digest` than the bytes have.
    WrongDigestHeader,
    /// Answers 200 with JSON that is not a manifest.
    NotAManifest,
    /// Sends so many bytes of an answer, then nothing more until it is mended.
    Pause(usize),
    /// The same for the whole; parts are sent at once.
    PauseWhole(usize),
    /// Sends so many bytes of the whole, then nothing more, without closing; parts are sent at once.
    StallAt(usize),
    /// Sends the whole in pieces of so many bytes, each a tenth of a second after the last.
    Drip(usize),
    /// Sends nothing of a part that begins there, or later, until it is mended.
    PauseBehind(usize),
    /// Cuts each answer after so many bytes; parts are answered as parts.
    CutEvery(usize),
    /// The same, and answers a request for a part with the whole.
    CutIgnoringRange(usize),
    /// Cuts after so many bytes, and answers a request for a part with another part.
    CutAnotherRange(usize),
    /// Cuts after so many bytes, and has other bytes for the rest.
    CutThenOther(usize),
    /// Announces and sends one byte less than there is.
    Short,
    /// Announces and sends one byte more than there is.
    Long,
    /// Answers `HEAD` with 405; all else is well.
    NoHead,
    /// Announces one byte more than there is to `HEAD`; all else is well.
    OtherHead,
    /// Says in answer to `HEAD` that it is there, and has it not.
    HeadOnly,
}
