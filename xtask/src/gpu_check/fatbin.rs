//! What a library holds for GPUs: the fat binaries of CUDA, each with the same kernels for several
//! architectures.
//!
//! A fat binary is a header and entries one after the other; each entry is a header and a payload, for
//! one architecture. The driver takes the one that fits its GPU and never reads the others, so that
//! their payloads can be zeros: the library keeps its size and all its places, and compresses to a
//! fraction.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// The first bytes of a fat binary.
const MAGIC: [u8; 4] = 0xBA55_ED50_u32.to_le_bytes();
/// Magic, version and size of the header, size of the entries.
const HEADER: usize = 16;
/// Where an entry has the architecture; its header is at least as long as with that.
const ARCHITECTURE: usize = 28;
const LEAST_ENTRY: usize = ARCHITECTURE + 4;

/// What [`keep_only`] found and did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// How many fat binaries there are.
    pub(super) binaries: usize,
    /// What there is for each architecture.
    pub(super) found: BTreeMap<u32, Payloads>,
    /// What is left of it.
    pub(super) left: Payloads,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Payloads {
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} fat binaries", self.binaries)?;
        for (arch, payloads) in &self.found {
            writeln!(f, "  for sm_{arch}: {payloads}")?;
        }
        write!(f, "  left: {}", self.left)
    }
}

impl fmt::Display for Payloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries, {} MiB", self.entries, self.bytes >> 20)
    }
}

impl Payloads {
    fn add(&mut self, payload: &Range<usize>) {
        self.entries += 1;
        self.bytes += payload.len();
    }
}

/// Why a library was left as it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FatbinError {
    /// There is no fat binary in it.
    None,
    /// There are some, and in none is anything for that architecture among others.
    NotFor { arch: u32, found: Vec<u32> },
    /// A fat binary is not laid out as is known.
    Broken { at: usize, what: &'static str },
}

impl fmt::Display for FatbinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("there is no fat binary in the library"),
            Self::NotFor { arch, found } => write!(
                f,
                "the library has nothing for sm_{arch} among others; it has for {found:?}"
            ),
            Self::Broken { at, what } => {
                write!(
                    f,
                    "the fat binary at byte {at} is of an unknown kind: {what}"
                )
            }
        }
    }
}

impl std::error::Error for FatbinError {}

/// Fills every payload with zeros but those for `arch` in fat binaries that are for others too. After
/// an error the library is as it was.
pub(super) fn keep_only(library: &mut [u8], arch: u32) -> Result<Kept, FatbinError> {
    let mut kept = Kept::default();
    let mut others = Vec::new();
    let mut from = 0;
    while let Some(at) = find(library, from) {
        let Some(entries) = entries_of(library, at) else {
            // The same four bytes by chance.
            from = at + MAGIC.len();
            continue;
        };
        kept.binaries += 1;
        from = entries.end;
        let mut next = entries.start;
        let mut same = Vec::new();
        let before = others.len();
        while next < entries.end {
            let entry = Entry::read(library, next, entries.end)
                .map_err(|what| FatbinError::Broken { at, what })?;
            kept.found
                .entry(entry.arch)
                .or_default()
                .add(&entry.payload);
            next = entry.payload.end;
            if entry.arch == arch {
                same.push(entry.payload);
            } else {
                others.push(entry.payload);
            }
        }
        if others.len() > before {
            same.iter().for_each(|payload| kept.left.add(payload));
        } else {
            others.append(&mut same);
        }
    }
    if kept.binaries == 0 {
        return Err(FatbinError::None);
    }
    if kept.left.entries == 0 {
        let found = kept.found.into_keys().collect();
        return Err(FatbinError::NotFor { arch, found });
    }
    for payload in others {
        library[payload].fill(0);
    }
    Ok(kept)
}

fn find(library: &[u8], from: usize) -> Option<usize> {
    let rest = library.get(from..)?;
    let found = rest.windows(MAGIC.len()).position(|four| four == MAGIC)?;
    Some(from + found)
}

/// Where the entries are of the fat binary at `at`, if there is one.
fn entries_of(library: &[u8], at: usize) -> Option<Range<usize>> {
    let header = library.get(at..at.checked_add(HEADER)?)?;
    let (version, size) = (u16_at(header, 4)?, usize::from(u16_at(header, 6)?));
    let start = at.checked_add(size)?;
    let end = start.checked_add(usize::try_from(u64_at(header, 8)?).ok()?)?;
    (version == 1 && size >= HEADER && start < end && end <= library.len()).then_some(start..end)
}

struct Entry {
    arch: u32,
    payload: Range<usize>,
}

impl Entry {
    /// Reads the entry at `at`, which ends at `end` or before.
    fn read(library: &[u8], at: usize, end: usize) -> Result<Self, &'static str> {
        let header = library.get(at..end).ok_or("an entry is outside of it")?;
        let read = || {
            Some((
                u32_at(header, 4)?,
                u64_at(header, 8)?,
                u32_at(header, ARCHITECTURE)?,
            ))
        };
        let (size, payload, arch) = read().ok_or("an entry is cut off")?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size < LEAST_ENTRY {
            return Err("an entry's header is too short");
        }
        let start = at.checked_add(size);
        let stop = start.and_then(|start| start.checked_add(usize::try_from(payload).ok()?));
        match (start, stop) {
            (Some(start), Some(stop)) if stop <= end => Ok(Self {
                arch,
                payload: start..stop,
            }),
            _ => Err("an entry is longer than it"),
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// An entry's header, as nvcc writes it: kind, version, sizes, and the architecture further on.
    fn entry(arch: u32, payload: &[u8]) -> Vec<u8> {
        let mut entry = Vec::new();
        entry.extend(2_u16.to_le_bytes());
        entry.extend(257_u16.to_le_bytes());
        entry.extend(64_u32.to_le_bytes());
        entry.extend((payload.len() as u64).to_le_bytes());
        entry.extend([0; 12]);
        entry.extend(arch.to_le_bytes());
        entry.resize(64, 0xAA);
        entry.extend(payload);
        entry
    }

    fn fat_binary(entries: &[(u32, Vec<u8>)]) -> Vec<u8> {
        let entries: Vec<u8> = entries
            .iter()
            .flat_map(|(arch, payload)| entry(*arch, payload))
            .collect();
        let mut binary = MAGIC.to_vec();
        binary.extend(1_u16.to_le_bytes());
        binary.extend(16_u16.to_le_bytes());
        binary.extend((entries.len() as u64).to_le_bytes());
        binary.extend(entries);
        binary
    }

    #[test]
    fn payloads_of_other_architectures_and_those_without_others_become_zeros() {
        let of = |payloads: [&[u8]; 4]| {
            let [a, b, c, d] = payloads.map(<[u8]>::to_vec);
            [
                b"\x7fELF code".to_vec(),
                fat_binary(&[(75, a), (90, b)]),
                b"between".to_vec(),
                fat_binary(&[(90, c)]),
                fat_binary(&[(120, d)]),
                b"end".to_vec(),
            ]
            .concat()
        };
        let mut library = of([b"turing", b"hopper", b"hopper only", b"blackwell"]);
        let kept = keep_only(&mut library, 90).unwrap();
        assert_eq!(library, of([&[0; 6], b"hopper", &[0; 11], &[0; 9]]));
        assert_eq!(kept.binaries, 3);
        let payloads = |entries, bytes| Payloads { entries, bytes };
        let found = [
            (75, payloads(1, 6)),
            (90, payloads(2, 17)),
            (120, payloads(1, 9)),
        ];
        assert_eq!(kept.found, BTreeMap::from(found));
        assert_eq!(kept.left, payloads(1, 6));
    }

    #[test]
    fn a_library_without_fat_binaries_is_an_error() {
        let mut chance = [b"code ".as_slice(), &MAGIC, &[7; 40]].concat();
        assert_eq!(keep_only(&mut chance, 90), Err(FatbinError::None));
        assert_eq!(keep_only(&mut [], 90), Err(FatbinError::None));
    }

    #[test]
    fn a_library_for_other_gpus_is_an_error_that_says_which_and_stays_as_it_was() {
        let before = fat_binary(&[(75, vec![1]), (80, vec![2])]);
        let mut library = before.clone();
        let error = keep_only(&mut library, 90).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the library has nothing for sm_90 among others; it has for [75, 80]"
        );
        assert_eq!(library, before);
    }

    #[test]
    fn an_entry_that_does_not_fit_is_an_error_and_nothing_was_written() {
        let whole = fat_binary(&[(75, vec![1; 8]), (90, vec![2; 8])]);
        // Where the second entry has its sizes: of the header, and of the payload.
        let second = HEADER + 64 + 8;
        for (at, value, expected) in [
            (second + 4, 8, "an entry's header is too short"),
            (second + 4, 0xFF, "an entry is longer than it"),
            (second + 8, 9, "an entry is longer than it"),
            // An end that is before the end leaves too little for another.
            (second + 8, 1, "an entry is cut off"),
        ] {
            let mut broken = whole.clone();
            broken[at] = value;
            let before = broken.clone();
            let error = keep_only(&mut broken, 90).unwrap_err();
            let what = expected;
            assert_eq!(error, FatbinError::Broken { at: 0, what }, "{at} {value}");
            assert_eq!(broken, before);
        }
    }

    fn noise() -> impl Strategy<Value = Vec<u8>> {
        // The last byte begins no magic with what follows.
        vec(any::<u8>(), 0..40).prop_map(|mut noise| {
            noise.retain(|byte| *byte != MAGIC[0]);
            noise
        })
    }

    proptest! {
        #[test]
        fn garbage_never_panics_and_after_an_error_is_as_it_was(
            pieces in vec((vec(any::<u8>(), 0..48), any::<bool>(), any::<bool>()), 0..8),
            arch in prop_oneof![Just(0_u32), Just(90), any::<u32>()],
        ) {
            let mut library = Vec::new();
            for (bytes, magic, plausible) in pieces {
                if magic {
                    library.extend(MAGIC);
                    if plausible {
                        library.extend([1, 0, 16, 0, bytes.len() as u8, 0, 0, 0, 0, 0, 0, 0]);
                    }
                }
                library.extend(bytes);
            }
            let before = library.clone();
            if keep_only(&mut library, arch).is_err() {
                prop_assert_eq!(&library, &before);
            }
            prop_assert_eq!(library.len(), before.len());
            for (after, before) in library.iter().zip(&before) {
                prop_assert!(after == before || *after == 0);
            }
        }

        #[test]
        fn nothing_is_written_but_what_is_not_kept(
            binaries in vec(
                (noise(), vec((prop_oneof![Just(80_u32), Just(90)], vec(1_u8.., 0..32)), 1..4)),
                1..4,
            ),
            end in noise(),
        ) {
            let with = |zeroed: bool| {
                let mut library = Vec::new();
                for (noise, entries) in &binaries {
                    let alone = entries.iter().all(|(arch, _)| *arch == 90);
                    let entries: Vec<_> = entries
                        .iter()
                        .map(|(arch, payload)| match zeroed && (alone || *arch != 90) {
                            true => (*arch, vec![0; payload.len()]),
                            false => (*arch, payload.clone()),
                        })
                        .collect();
                    library.extend(noise);
                    library.extend(fat_binary(&entries));
                }
                library.extend(&end);
                library
            };
            let mut library = with(false);
            let all = || binaries.iter().flat_map(|(_, entries)| entries);
            let has = |entries: &[(u32, Vec<u8>)], arch| entries.iter().any(|one| one.0 == arch);
            match keep_only(&mut library, 90) {
                Ok(kept) => {
                    prop_assert_eq!(library, with(true));
                    prop_assert_eq!(kept.binaries, binaries.len());
                    let bytes: usize = kept.found.values().map(|found| found.bytes).sum();
                    prop_assert_eq!(bytes, all().map(|(_, payload)| payload.len()).sum::<usize>());
                }
                Err(error) => {
                    let both = |(_, entries): &(_, Vec<_>)| has(entries, 80) && has(entries, 90);
                    prop_assert!(!binaries.iter().any(both), "{error}");
                    prop_assert_eq!(library, with(false));
                }
            }
        }
    }
}
