//! Files of JSON lines, read in large pieces that end where a line ends.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Batch;
use super::parallel;
use super::row::ReadRules;
use crate::failure::Failure;

/// About so much is read and worked on at once.
const CHUNK_BYTES: usize = 512 * 1024;
/// No referral is as long as this, however its line is written.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// A file to read.
pub struct Input {
    from: Box<dyn Read + Send>,
    /// Its length in bytes, where that is known.
    pub length: Option<u64>,
}

/// Opens a file, or standard input for `-`.
///
/// # Errors
/// `Failed` when it cannot be opened.
pub fn open(path: &Path) -> Result<Input, Failure> {
    if path == Path::new("-") {
        return Ok(Input { from: Box::new(std::io::stdin()), length: None });
    }
    let failed = |error| Failure::failed(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if about.is_dir() {
        return Err(failed(std::io::ErrorKind::IsADirectory.into()));
    }
    let length = about.is_file().then_some(about.len());
    Ok(Input { from: Box::new(file), length })
}

/// What the lines hold, in order. `stop` says whether a bad line ends its batch.
pub fn batches(input: Input, rules: ReadRules, stop: bool) -> impl Iterator<Item = Batch> + Send {
    let pieces = LineChunks { from: input.from, rest: Vec::new(), line: 1, ended: false };
    parallel::map(pieces, move |piece| match piece {
        Ok(piece) => piece.read(&rules, stop),
        Err(problem) => Batch { bad: vec![(0, problem)], ..Batch::default() },
    })
}

/// Whole lines, and the number of the first.
struct LineChunk {
    line: u64,
    bytes: Vec<u8>,
}

impl LineChunk {
    fn read(&self, rules: &ReadRules, stop: bool) -> Batch {
        let mut batch = Batch { steps: self.bytes.len() as u64, ..Batch::default() };
        for (place, line) in self.bytes.split(|&byte| byte == b'\n').enumerate() {
            let number = self.line + place as u64;
            let line = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
            if line.trim_ascii().is_empty() {
                continue;
            }
            match rules.read(line, &mut batch.unknown) {
                Ok(row) => batch.rows.push(row),
                Err(problem) => {
                    batch.bad.push((number, problem));
                    if stop {
                        break;
                    }
                }
            }
        }
        batch
    }
}

/// Cuts a stream into pieces.
struct LineChunks {
    from: Box<dyn Read + Send>,
    /// The beginning of a line whose end is not read yet.
    rest: Vec<u8>,
    line: u64,
    ended: bool,
}

impl LineChunks {
    fn next_chunk(&mut self) -> Result<Option<LineChunk>, String> {
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.reserve(CHUNK_BYTES);
        loop {
            let before = bytes.len();
            let read = (&mut self.from).take(CHUNK_BYTES as u64).read_to_end(&mut bytes);
            read.map_err(|error| format!("reading fails after line {}: {error}", self.line))?;
            if bytes.len() == before {
                self.ended = true;
                return Ok((!bytes.is_empty()).then(|| self.piece(bytes)));
            }
            if let Some(end) = bytes[before..].iter().rposition(|&byte| byte == b'\n') {
                self.rest = bytes.split_off(before + end + 1);
                return Ok(Some(self.piece(bytes)));
            }
            if bytes.len() > MAX_LINE_BYTES {
                return Err(format!("line {}: longer than any referral", self.line));
            }
        }
    }

    fn piece(&mut self, bytes: Vec<u8>) -> LineChunk {
        let line = self.line;
        self.line += bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        LineChunk { line, bytes }
    }
}

impl Iterator for LineChunks {
    type Item = Result<LineChunk, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let piece = self.next_chunk().transpose();
        self.ended |= matches!(piece, Some(Err(_)));
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(text: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let pieces = LineChunks {
            from: Box::new(std::io::Cursor::new(text.to_vec())),
            rest: Vec::new(),
            line: 1,
            ended: false,
        };
        let mut lines = Vec::new();
        for piece in pieces {
            let piece = piece.unwrap();
            for (place, line) in piece.bytes.split(|&byte| byte == b'\n').enumerate() {
                if !line.is_empty() {
                    lines.push((piece.line + place as u64, line.to_vec()));
                }
            }
        }
        lines
    }

    #[test]
    fn pieces_are_cut_between_lines_and_keep_their_numbers() {
        let mut text = Vec::new();
        for number in 1..=5000u64 {
            text.extend_from_slice(format!("{number}:{}\n", "x".repeat((number % 997) as usize)).as_bytes());
        }
        text.extend_from_slice(b"5001:the last one has no end");
        let lines = lines_of(&text);
        assert_eq!(lines.len(), 5001);
        for (number, line) in lines {
            assert!(line.starts_with(format!("{number}:").as_bytes()), "line {number}");
        }
        assert!(lines_of(b"").is_empty());
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut pieces =
            LineChunks { from: Box::new(std::io::repeat(b'x')), rest: Vec::new(), line: 1, ended: false };
        assert!(matches!(pieces.next(), Some(Err(problem)) if problem.contains("line 1")));
        assert!(pieces.next().is_none());
    }
}
