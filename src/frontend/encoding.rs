//! How bodies are compressed: what a request says its body is, and what it takes its answer as.

use std::io::Read;
use std::io::Write;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use flate2::write::{GzEncoder, ZlibEncoder};
use flate2::{Compression, Decompress, FlushDecompress, Status};
use http::{HeaderMap, HeaderValue, header};

use super::fault::Fault;

/// How much is decompressed at a time.
const PIECE_BYTES: usize = 32 * 1024;

/// A way to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    /// What HTTP calls so: in zlib's envelope.
    Deflate,
}

impl Coding {
    const ALL: [Self; 2] = [Self::Gzip, Self::Deflate];

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.name()))
    }

    /// The value of an answer's `Content-Encoding`.
    pub(super) fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// How a request's body is compressed.
    ///
    /// # Errors
    /// [`Fault::Undecodable`] for any other coding, and for two on top of each other: what they hold is not known.
    pub(super) fn of_body(headers: &HeaderMap) -> Result<Option<Self>, Fault> {
        let mut found = None;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            let name = value.to_str().map_err(|_| Fault::Undecodable)?.trim();
            if name.is_empty() || name.eq_ignore_ascii_case("identity") {
                continue;
            }
            let coding = Self::named(name).ok_or(Fault::Undecodable)?;
            if found.replace(coding).is_some() {
                return Err(Fault::Undecodable);
            }
        }
        Ok(found)
    }

    /// How a client likes its answer compressed best: the coding of the greatest weight, and of equal ones the first.
    ///
    /// As the service does, this looks at the first `Accept-Encoding` header alone; takes a weight that is no number for 1;
    /// and lets `*` stand for what is not named, behind what is.
    pub(super) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
        let mut weights: Vec<(Self, f32)> = Vec::with_capacity(Self::ALL.len());
        let mut others = None;
        for part in value.split(',') {
            let (name, parameters) = part.split_once(';').unwrap_or((part, ""));
            let weight = weight(parameters);
            match Self::named(name.trim()) {
                Some(coding) => weights.push((coding, weight)),
                None if name.trim() == "*" => others = Some(weight),
                None => {}
            }
        }
        let named = weights.len();
        for coding in Self::ALL {
            if let Some(weight) = others
                && !weights[..named].iter().any(|(known, _)| *known == coding)
            {
                weights.push((coding, weight));
            }
        }
        let mut best: Option<(Self, f32)> = None;
        for (coding, weight) in weights.into_iter().filter(|(_, weight)| *weight > 0.0) {
            if best.is_none_or(|(_, most)| weight > most) {
                best = Some((coding, weight));
            }
        }
        best.map(|(coding, _)| coding)
    }

    /// Compresses a whole body.
    pub(super) fn compress(self, bytes: &[u8]) -> Bytes {
        let out = Vec::with_capacity(bytes.len() / 4);
        let written = match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, Compression::fast());
                encoder.write_all(bytes).and_then(|()| encoder.finish())
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(out, Compression::fast());
                encoder.write_all(bytes).and_then(|()| encoder.finish())
            }
        };
        written.expect("writing to memory does not fail").into()
    }

    /// Decompresses a whole body and hands it on in pieces.
    ///
    /// # Errors
    /// [`Fault::Undecodable`] for a body that is not so compressed, or not to its last byte; and whatever `keep` says.
    pub(super) fn decompress(
        self,
        bytes: &[u8],
        keep: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        match self {
            Self::Gzip => gunzip(bytes, keep),
            Self::Deflate => inflate(bytes, keep),
        }
    }
}

/// The weight that the parameters of a coding give it.
fn weight(parameters: &str) -> f32 {
    let mut pairs = parameters.split(';').filter_map(|parameter| parameter.split_once('='));
    let weight = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    let weight = weight.and_then(|(_, weight)| weight.trim().parse::<f32>().ok());
    weight.filter(|weight| !weight.is_nan()).map_or(1.0, |weight| weight.clamp(0.0, 1.0))
}

/// Members of a gzip file may follow each other; nothing else may.
fn gunzip(bytes: &[u8], keep: &mut dyn FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut decoder = MultiGzDecoder::new(bytes);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match decoder.read(&mut piece).map_err(|_| Fault::Undecodable)? {
            0 => return Ok(()),
            length => keep(&piece[..length])?,
        }
    }
}

fn inflate(bytes: &[u8], keep: &mut dyn FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut inflating = Decompress::new(true);
    let mut piece = vec![0; PIECE_BYTES];
    let mut rest = bytes;
    loop {
        let (read, written) = (inflating.total_in(), inflating.total_out());
        let status = inflating.decompress(rest, &mut piece, FlushDecompress::None);
        let status = status.map_err(|_| Fault::Undecodable)?;
        // Neither is more than was given.
        let read = (inflating.total_in() - read) as usize;
        let written = (inflating.total_out() - written) as usize;
        keep(&piece[..written])?;
        rest = &rest[read..];
        match status {
            Status::StreamEnd if rest.is_empty() => return Ok(()),
            Status::Ok | Status::BufError if read > 0 || written > 0 => {}
            Status::StreamEnd | Status::Ok | Status::BufError => return Err(Fault::Undecodable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(value: &'static str) -> Option<&'static str> {
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]);
        Coding::accepted(&headers).map(Coding::name)
    }

    #[test]
    fn answers_are_compressed_as_the_client_likes_best() {
        for (value, coding) in [
            ("gzip", "gzip"),
            ("deflate", "deflate"),
            ("GZIP ; q=1", "gzip"),
            ("deflate, gzip;q=0.5", "deflate"),
            ("deflate;q=0.5, gzip", "gzip"),
            ("br, identity, deflate, gzip", "deflate"),
            ("gzip, deflate", "gzip"),
            ("*", "gzip"),
            ("*, deflate", "deflate"),
            ("*, gzip;q=0.5", "deflate"),
            ("*, gzip;q=0", "deflate"),
            ("gzip;q=x", "gzip"),
            ("deflate;q=0.5, gzip;q=7", "gzip"),
            ("gzip;q = 0.2, deflate;q=0.1", "gzip"),
            ("gzip;q=0, gzip", "gzip"),
        ] {
            assert_eq!(accepted(value), Some(coding), "{value}");
        }
        for value in [
            "identity",
            "gzip;q=0",
            "gzip; q=0.000",
            "gzip;q=-1",
            "*;q=0",
            "x-gzip",
            "\"gzip\"",
            "gzip br",
            "gzip:q=1",
            "",
            "gzip;nq=1;q=0",
        ] {
            assert_eq!(accepted(value), None, "{value}");
        }
    }

    #[test]
    fn only_the_first_accept_encoding_counts() {
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static("deflate"));
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(Coding::accepted(&headers), Some(Coding::Deflate));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(Coding::accepted(&headers), None);
    }

    fn plain(coding: Coding, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut plain = Vec::new();
        coding.decompress(bytes, &mut |piece| {
            plain.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(plain)
    }

    #[test]
    fn a_body_comes_back_whole_or_not_at_all() {
        let body: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
        for coding in Coding::ALL {
            let compressed = coding.compress(&body);
            assert_eq!(plain(coding, &compressed).as_deref(), Ok(&body[..]));
            let other = if coding == Coding::Gzip { Coding::Deflate } else { Coding::Gzip };
            let longer = [&compressed[..], b"{}"].concat();
            let mut changed = compressed.to_vec();
            *changed.last_mut().unwrap() ^= 1;
            let broken: [&[u8]; 6] =
                [b"", &compressed[..1], &compressed[..compressed.len() - 1], &longer, &changed, b"{}"];
            for broken in broken {
                assert_eq!(plain(coding, broken), Err(Fault::Undecodable), "{} bytes", broken.len());
            }
            assert_eq!(plain(other, &compressed), Err(Fault::Undecodable));
            let nothing = coding.compress(b"");
            assert_eq!(plain(coding, &nothing), Ok(Vec::new()));
        }
        let twice = [Coding::Gzip.compress(b"{\"a\""), Coding::Gzip.compress(b":1}")].concat();
        assert_eq!(plain(Coding::Gzip, &twice).as_deref(), Ok(&b"{\"a\":1}"[..]));
    }
}
