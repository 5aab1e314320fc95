//! What a kernel sees of the device: one workgroup's view of its bindings.
//!
//! An access goes: declared use → bounds of the binding → translation → bytes. In a run the translation is the one that the
//! pass gives: for a slid binding the slice and its frames, with no look at the page table, so that wrong arithmetic of the
//! manager's shows. In a probe it is the page table; stores go to an overlay that dies with the workgroup. In an attempt it is
//! what the attempt grants; what that has not reads as zero, and stores to it are lost.

use std::collections::HashMap;

use gmem_hal::{
    ByteRange, DeviceError, FrameIndex, FrameRun, Geometry, Kernel, Launch, Translation, Va,
};
use parking_lot::Mutex;

use crate::findings::Findings;
use crate::memory::{Memory, Place};
use crate::{SimKernel, Word};

/// Why a workgroup did not finish. Kernels hand it on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SimStop {
    /// A probe needs a page that is not resident, or an attempt that missed one goes on for long.
    Absent,
    /// A run has no translation for the access, or not for a store.
    Confined,
    /// An address lies in none of the launch's regions, or in none that may be accessed so.
    Segfault(Va),
    /// The kernel uses a binding that it does not have, or not so.
    Misuse(String),
}

impl SimStop {
    pub(crate) fn into_error(self, kernel: &str) -> DeviceError {
        match self {
            Self::Absent | Self::Confined => DeviceError::Confined {
                kernel: kernel.to_owned(),
            },
            Self::Segfault(va) => DeviceError::Segfault { va },
            Self::Misuse(reason) => DeviceError::Unsupported {
                reason: format!("kernel `{kernel}` {reason}"),
            },
        }
    }
}

/// Whether accesses have effects.
pub(crate) enum Mode<'a> {
    Run {
        translations: &'a [Translation],
    },
    Probe {
        findings: &'a mut Findings,
        /// Bytes that this workgroup stored, by their offset in the space.
        overlay: HashMap<u64, u8>,
    },
    Attempt {
        translations: &'a [Translation],
        /// What may be touched: frames, and whether they may be stored to.
        granted: &'a HashMap<u64, (FrameIndex, bool)>,
        findings: &'a mut Findings,
        /// Accesses that are left to it once a page was missed: a GPU leaves its loops then, a closure is stopped.
        patience: u32,
    },
}

/// Accesses of a workgroup after a page was missed.
pub(crate) const PATIENCE: u32 = 1024;

/// Where a part of an access is, if anywhere, and which of its bytes that are.
type Part = (Option<Place>, core::ops::Range<usize>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Load,
    Store,
}

/// One workgroup of a launch.
pub struct SimThread<'a> {
    kernel: &'a SimKernel,
    launch: &'a Launch,
    workgroup: [u32; 3],
    geometry: Geometry,
    memory: &'a Mutex<Option<Memory>>,
    mode: Mode<'a>,
    /// The first stop: a kernel that ignores it gets no further.
    stop: Option<SimStop>,
}

impl<'a> SimThread<'a> {
    pub(crate) fn new(
        kernel: &'a SimKernel,
        launch: &'a Launch,
        workgroup: [u32; 3],
        geometry: Geometry,
        memory: &'a Mutex<Option<Memory>>,
        mode: Mode<'a>,
    ) -> Self {
        Self {
            kernel,
            launch,
            workgroup,
            geometry,
            memory,
            mode,
            stop: None,
        }
    }

    /// Calls the kernel, and takes its stop for an answer even if it does not hand it on.
    pub(crate) fn finish(mut self) -> Result<(), SimStop> {
        let result = self.kernel.call(&mut self);
        let result = self.stop.take().map_or(result, Err);
        match (&mut self.mode, &result) {
            (Mode::Probe { findings, .. }, Err(SimStop::Absent)) => {
                findings.stop();
                Ok(())
            }
            (Mode::Attempt { .. }, Err(SimStop::Absent)) => Ok(()),
            _ => result,
        }
    }

    /// This workgroup's id in the launch's grid.
    #[must_use]
    pub fn workgroup(&self) -> [u32; 3] {
        self.workgroup
    }

    /// Workgroups of the launch in each dimension.
    #[must_use]
    pub fn grid(&self) -> [u32; 3] {
        self.launch.grid
    }

    /// Bytes in a binding (`arrayLength`); 0 where there is no such binding.
    #[must_use]
    pub fn len(&self, binding: usize) -> u64 {
        self.launch.bound.get(binding).map_or(0, |range| range.len)
    }

    /// Whether a binding has no bytes.
    #[must_use]
    pub fn is_empty(&self, binding: usize) -> bool {
        self.len(binding) == 0
    }

    /// A value of a uniform; zero beyond its end.
    #[must_use]
    pub fn value<T: Word>(&self, uniform: usize, byte: usize) -> T {
        let span = byte..byte.saturating_add(T::SIZE);
        let bytes = self.launch.values.get(uniform).and_then(|u| u.get(span));
        T::from_bytes(bytes.unwrap_or(&[0; 8][..T::SIZE]))
    }

    /// Loads from a binding; zero out of bounds.
    ///
    /// # Errors
    /// When the access cannot be made: the workgroup is over.
    pub fn load<T: Word>(&mut self, binding: usize, byte: u64) -> Result<T, SimStop> {
        let mut bytes = [0; 8];
        self.load_bytes(binding, byte, &mut bytes[..T::SIZE])?;
        Ok(T::from_bytes(&bytes[..T::SIZE]))
    }

    /// Stores to a binding; nothing out of bounds.
    ///
    /// # Errors
    /// When the access cannot be made: the workgroup is over.
    pub fn store<T: Word>(&mut self, binding: usize, byte: u64, value: T) -> Result<(), SimStop> {
        let mut bytes = [0; 8];
        value.to_bytes(&mut bytes[..T::SIZE]);
        self.store_bytes(binding, byte, &bytes[..T::SIZE])
    }

    /// Loads many bytes as one access, all zero when they are not all in bounds.
    ///
    /// # Errors
    /// When the access cannot be made: the workgroup is over.
    pub fn load_bytes(&mut self, binding: usize, byte: u64, out: &mut [u8]) -> Result<(), SimStop> {
        out.fill(0);
        let result = self
            .admit(binding, byte, out.len(), &[Kind::Load])
            .and_then(|inside| {
                let memory = self.memory;
                if inside {
                    self.get(memory.lock().as_ref(), binding, byte, out)
                } else {
                    Ok(())
                }
            });
        self.note(result)
    }

    /// Stores many bytes as one access, none when they are not all in bounds.
    ///
    /// # Errors
    /// When the access cannot be made: the workgroup is over.
    pub fn store_bytes(&mut self, binding: usize, byte: u64, bytes: &[u8]) -> Result<(), SimStop> {
        let result = self
            .admit(binding, byte, bytes.len(), &[Kind::Store])
            .and_then(|inside| {
                let memory = self.memory;
                if inside {
                    self.put(memory.lock().as_mut(), binding, byte, bytes)
                } else {
                    Ok(())
                }
            });
        self.note(result)
    }

    /// Changes a word of a binding in one step and returns what it was; zero, without effect, out of bounds.
    ///
    /// # Errors
    /// When the access cannot be made: the workgroup is over.
    pub fn atomic<T: Word>(
        &mut self,
        binding: usize,
        byte: u64,
        change: impl FnOnce(T) -> T,
    ) -> Result<T, SimStop> {
        let mut old = [0; 8];
        let admitted = self.admit(binding, byte, T::SIZE, &[Kind::Load, Kind::Store]);
        let result = admitted.and_then(|inside| {
            if !inside {
                return Ok(());
            }
            // One lock over both halves is what makes it atomic.
            let memory = self.memory;
            let mut memory = memory.lock();
            if self.misses(memory.as_ref(), binding, byte, T::SIZE)? {
                return Ok(());
            }
            self.get(memory.as_ref(), binding, byte, &mut old[..T::SIZE])?;
            let mut new = [0; 8];
            change(T::from_bytes(&old[..T::SIZE])).to_bytes(&mut new[..T::SIZE]);
            self.put(memory.as_mut(), binding, byte, &new[..T::SIZE])
        });
        self.note(result)?;
        Ok(T::from_bytes(&old[..T::SIZE]))
    }

    /// Adds to a word of a binding, wrapping, and returns what it was.
    ///
    /// # Errors
    /// When the access cannot be made: the workgroup is over.
    pub fn atomic_add(&mut self, binding: usize, byte: u64, value: u32) -> Result<u32, SimStop> {
        self.atomic::<u32>(binding, byte, |old| old.wrapping_add(value))
    }

    /// Loads from an absolute address.
    ///
    /// # Errors
    /// When the access cannot be made: the workgroup is over.
    pub fn load_va<T: Word>(&mut self, va: Va) -> Result<T, SimStop> {
        let mut bytes = [0; 8];
        for (binding, byte, part) in self.locate(va, T::SIZE, &[Kind::Load])? {
            self.load_bytes(binding, byte, &mut bytes[part])?;
        }
        Ok(T::from_bytes(&bytes[..T::SIZE]))
    }

    /// Stores to an absolute address.
    ///
    /// # Errors
    /// When the access cannot be made: the workgroup is over.
    pub fn store_va<T: Word>(&mut self, va: Va, value: T) -> Result<(), SimStop> {
        let mut bytes = [0; 8];
        value.to_bytes(&mut bytes[..T::SIZE]);
        for (binding, byte, part) in self.locate(va, T::SIZE, &[Kind::Store])? {
            self.store_bytes(binding, byte, &bytes[part])?;
        }
        Ok(())
    }

    /// Changes the word at an absolute address in one step and returns what it was.
    ///
    /// # Errors
    /// When the access cannot be made, or the word does not lie in one region: the workgroup is over.
    pub fn atomic_va<T: Word>(
        &mut self,
        va: Va,
        change: impl FnOnce(T) -> T,
    ) -> Result<T, SimStop> {
        match self
            .locate(va, T::SIZE, &[Kind::Load, Kind::Store])?
            .as_slice()
        {
            [(binding, byte, _)] => self.atomic(*binding, *byte, change),
            _ => self.note(Err(SimStop::Segfault(va))),
        }
    }

    fn note<T>(&mut self, result: Result<T, SimStop>) -> Result<T, SimStop> {
        if let Err(stop) = &result {
            self.stop.get_or_insert_with(|| stop.clone());
        }
        result
    }

    /// Whether the kernel said that it would do this, and whether it stays in bounds.
    fn admit(
        &self,
        binding: usize,
        byte: u64,
        len: usize,
        kinds: &[Kind],
    ) -> Result<bool, SimStop> {
        if let Some(stop) = &self.stop {
            return Err(stop.clone());
        }
        if !kinds.iter().all(|&kind| self.declares(binding, kind)) {
            let does = if kinds.contains(&Kind::Store) {
                "stores to"
            } else {
                "loads from"
            };
            return Err(SimStop::Misuse(format!(
                "{does} binding {binding} and does not declare that"
            )));
        }
        let end = byte.checked_add(len as u64);
        Ok(len > 0 && end.is_some_and(|end| end <= self.launch.bound[binding].len))
    }

    fn declares(&self, binding: usize, kind: Kind) -> bool {
        self.kernel
            .bindings()
            .get(binding)
            .is_some_and(|used| match kind {
                Kind::Load => used.reads,
                Kind::Store => used.writes,
            })
    }

    /// Which bindings an access by address falls in: one for all of it where there is one, else one for each byte.
    fn locate(
        &mut self,
        va: Va,
        len: usize,
        kinds: &[Kind],
    ) -> Result<Vec<(usize, u64, core::ops::Range<usize>)>, SimStop> {
        let find = |va: Va, len: u64| {
            let offset = self.geometry.offset_of(va)?;
            let holds = |range: &ByteRange| range.offset <= offset && offset + len <= range.end();
            let mut bound = self.launch.bound.iter().enumerate();
            bound
                .find(|&(b, range)| {
                    holds(range) && kinds.iter().all(|&kind| self.declares(b, kind))
                })
                .map(|(b, range)| (b, offset - range.offset))
        };
        if let Some((binding, byte)) = find(va, len as u64) {
            return Ok(vec![(binding, byte, 0..len)]);
        }
        let parts = (0..len)
            .map(|i| {
                let va = Va(va.0.wrapping_add(i as u64));
                let (binding, byte) = find(va, 1).ok_or(SimStop::Segfault(va))?;
                Ok((binding, byte, i..i + 1))
            })
            .collect();
        self.note(parts)
    }

    /// The pages that bytes of a binding lie in: the page, the byte in it, and which of the bytes.
    fn pages(
        &self,
        binding: usize,
        byte: u64,
        len: usize,
    ) -> impl Iterator<Item = (u64, u64, core::ops::Range<usize>)> + use<> {
        let page = self.geometry.page;
        let start = self.launch.bound[binding].offset + byte;
        let end = start + len as u64;
        self.geometry
            .pages_of(ByteRange::new(start, len as u64))
            .map(move |p| {
                let from = start.max(p << page.shift());
                let to = end.min((p + 1) << page.shift());
                (
                    p,
                    from & (page.bytes() - 1),
                    (from - start) as usize..(to - start) as usize,
                )
            })
    }

    /// Where a run finds the bytes of an access.
    fn places(
        &self,
        memory: &Memory,
        binding: usize,
        byte: u64,
        len: usize,
        kind: Kind,
    ) -> Result<Vec<(Place, core::ops::Range<usize>)>, SimStop> {
        let (Mode::Run { translations } | Mode::Attempt { translations, .. }) = &self.mode else {
            unreachable!("a probe does not need all of its bytes at once");
        };
        match translations[binding] {
            Translation::Untouched => Err(SimStop::Confined),
            Translation::Slid {
                slice,
                frames,
                skip,
            } => {
                let from = byte.checked_sub(slice.offset).ok_or(SimStop::Confined)?;
                let end = skip + from + len as u64;
                let room = u64::from(frames.frames) << self.geometry.page.shift();
                if from + len as u64 > slice.len || end > room {
                    return Err(SimStop::Confined);
                }
                Ok(vec![(
                    memory.byte_of(self.geometry.page, frames, skip + from),
                    0..len,
                )])
            }
            Translation::Paged => self
                .pages(binding, byte, len)
                .map(|(page, at, part)| match memory.entry(page) {
                    Some((frame, writable)) if kind == Kind::Load || writable => Ok((
                        memory.byte_of(self.geometry.page, FrameRun::new(frame, 1), at),
                        part,
                    )),
                    _ => Err(SimStop::Confined),
                })
                .collect(),
        }
    }

    /// Notes the pages of an access in a probe.
    fn touch(&mut self, binding: usize, byte: u64, len: usize, kind: Kind) {
        let first = self.launch.bound[binding].offset >> self.geometry.page.shift();
        let pages = self.pages(binding, byte, len);
        match &mut self.mode {
            Mode::Probe { findings, .. } => findings.touch(
                binding,
                kind == Kind::Store,
                pages.map(|(page, ..)| (page - first) as u32),
            ),
            Mode::Attempt {
                findings,
                translations,
                ..
            } if translations[binding] == Translation::Paged => findings.touch(
                binding,
                kind == Kind::Store,
                pages.map(|(page, ..)| (page - first) as u32),
            ),
            _ => {}
        }
    }

    /// Where an attempt finds the parts of an access: `None` for what it misses, or may not store to.
    fn granted(
        &mut self,
        memory: &Memory,
        binding: usize,
        byte: u64,
        len: usize,
        kind: Kind,
    ) -> Result<Vec<Part>, SimStop> {
        let pages: Vec<_> = self.pages(binding, byte, len).collect();
        let size = self.geometry.page;
        let Mode::Attempt {
            translations,
            granted,
            findings,
            patience,
        } = &mut self.mode
        else {
            unreachable!("only an attempt is granted pages");
        };
        if findings.stopped() {
            *patience = patience.checked_sub(1).ok_or(SimStop::Absent)?;
        }
        if translations[binding] != Translation::Paged {
            let places = self.places(memory, binding, byte, len, kind)?;
            return Ok(places
                .into_iter()
                .map(|(p, part)| (Some(p), part))
                .collect());
        }
        let parts = pages
            .into_iter()
            .map(|(page, at, part)| match granted.get(&page) {
                Some(&(frame, writable)) if kind == Kind::Load || writable => (
                    Some(memory.byte_of(size, FrameRun::new(frame, 1), at)),
                    part,
                ),
                _ => {
                    findings.stop();
                    (None, part)
                }
            });
        Ok(parts.collect())
    }

    /// Whether an attempt misses what an atomic operation changes. Then that has neither effect nor result.
    fn misses(
        &mut self,
        memory: Option<&Memory>,
        binding: usize,
        byte: u64,
        len: usize,
    ) -> Result<bool, SimStop> {
        if !matches!(self.mode, Mode::Attempt { .. }) {
            return Ok(false);
        }
        let memory = memory.expect("a launch comes after attach");
        self.touch(binding, byte, len, Kind::Store);
        let parts = self.granted(memory, binding, byte, len, Kind::Store)?;
        Ok(parts.iter().any(|(place, _)| place.is_none()))
    }

    fn get(
        &mut self,
        memory: Option<&Memory>,
        binding: usize,
        byte: u64,
        out: &mut [u8],
    ) -> Result<(), SimStop> {
        let memory = memory.expect("a launch comes after attach");
        self.touch(binding, byte, out.len(), Kind::Load);
        if matches!(self.mode, Mode::Attempt { .. }) {
            for (place, part) in self.granted(memory, binding, byte, out.len(), Kind::Load)? {
                if let Some(place) = place {
                    let len = part.len();
                    out[part].copy_from_slice(memory.at(place, len));
                }
            }
            return Ok(());
        }
        let pages = self.pages(binding, byte, out.len());
        let offset = self.launch.bound[binding].offset + byte;
        let Mode::Probe { overlay, .. } = &self.mode else {
            for (place, part) in self.places(memory, binding, byte, out.len(), Kind::Load)? {
                let len = part.len();
                out[part].copy_from_slice(memory.at(place, len));
            }
            return Ok(());
        };
        for (page, at, part) in pages {
            let entry = memory.entry(page);
            if let Some((frame, _)) = entry {
                let place = memory.byte_of(self.geometry.page, FrameRun::new(frame, 1), at);
                out[part.clone()].copy_from_slice(memory.at(place, part.len()));
            }
            for i in part {
                match overlay.get(&(offset + i as u64)) {
                    Some(&stored) => out[i] = stored,
                    None if entry.is_none() => return Err(SimStop::Absent),
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn put(
        &mut self,
        memory: Option<&mut Memory>,
        binding: usize,
        byte: u64,
        bytes: &[u8],
    ) -> Result<(), SimStop> {
        let memory = memory.expect("a launch comes after attach");
        self.touch(binding, byte, bytes.len(), Kind::Store);
        let offset = self.launch.bound[binding].offset + byte;
        if let Mode::Probe { overlay, .. } = &mut self.mode {
            overlay.extend((offset..).zip(bytes.iter().copied()));
            return Ok(());
        }
        if matches!(self.mode, Mode::Attempt { .. }) {
            for (place, part) in self.granted(memory, binding, byte, bytes.len(), Kind::Store)? {
                if let Some(place) = place {
                    memory
                        .at_mut(place, part.len())
                        .copy_from_slice(&bytes[part]);
                }
            }
            return Ok(());
        }
        for (place, part) in self.places(memory, binding, byte, bytes.len(), Kind::Store)? {
            memory
                .at_mut(place, part.len())
                .copy_from_slice(&bytes[part]);
        }
        Ok(())
    }
}
