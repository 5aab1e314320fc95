//! Shared by the analysis tests: a kernel with its analysis, and a plain enumeration of invocations.

use gmem_shaders::naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use gmem_shaders::naga::{AddressSpace, Module, front::wgsl};
use gmem_shaders::{Analysis, BindingFootprint, Footprint};

pub struct Kernel {
    pub module: Module,
    pub info: ModuleInfo,
    pub analysis: Analysis,
    pub names: Vec<String>,
    pub size: [u32; 3],
}

/// Parses a shader with one entry point.
pub fn kernel(source: &str) -> Kernel {
    let module = match wgsl::parse_str(source) {
        Ok(module) => module,
        Err(error) => panic!("{}", error.emit_to_string(source)),
    };
    let info = match Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module) {
        Ok(info) => info,
        Err(error) => panic!("{}", error.emit_to_string(source)),
    };
    let uses = info.get_entry_point(0);
    let globals = |wanted: &dyn Fn(AddressSpace) -> bool| {
        let mut found: Vec<_> = module
            .global_variables
            .iter()
            .filter(|(handle, global)| wanted(global.space) && !uses[*handle].is_empty())
            .collect();
        found.sort_by_key(|(_, global)| {
            global
                .binding
                .as_ref()
                .map(|place| (place.group, place.binding))
        });
        found
    };
    let storage = globals(&|space| matches!(space, AddressSpace::Storage { .. }));
    let values = globals(&|space| space == AddressSpace::Uniform);
    let names = storage
        .iter()
        .map(|(_, global)| global.name.clone().unwrap_or_default())
        .collect();
    let storage: Vec<_> = storage.iter().map(|(handle, _)| *handle).collect();
    let values: Vec<_> = values.iter().map(|(handle, _)| *handle).collect();
    let analysis = Analysis::new(&module, &info, 0, &storage, &values).with_source(source);
    let size = module.entry_points[0].workgroup_size;
    Kernel {
        module,
        info,
        analysis,
        names,
        size,
    }
}

/// A launch, or a part of one.
#[derive(Clone)]
pub struct Launch {
    pub start: [u32; 3],
    pub count: [u32; 3],
    pub grid: [u32; 3],
    pub lens: Vec<u64>,
    pub uniforms: Vec<Vec<u8>>,
}

impl Kernel {
    pub fn footprint(&self, launch: &Launch) -> Vec<BindingFootprint> {
        let values: Vec<&[u8]> = launch.uniforms.iter().map(Vec::as_slice).collect();
        self.analysis.footprint(
            &self.module,
            &self.info,
            (launch.start, launch.count),
            launch.grid,
            &launch.lens,
            &values,
        )
    }

    pub fn apart(&self) -> Vec<usize> {
        (0..self.names.len()).collect()
    }

    pub fn probeable(&self) -> Result<(), String> {
        self.analysis.probeable(&self.apart())
    }

    pub fn feeding(&self) -> Vec<&str> {
        let feeds = self.analysis.feeds().iter();
        feeds
            .zip(&self.names)
            .filter(|(feeds, _)| **feeds)
            .map(|(_, name)| name.as_str())
            .collect()
    }
}

/// One invocation's ids.
#[derive(Clone, Copy)]
pub struct Ids {
    pub gid: [u32; 3],
    pub lid: [u32; 3],
    pub wid: [u32; 3],
    pub index: u32,
}

pub fn invocations(size: [u32; 3], launch: &Launch) -> Vec<Ids> {
    let mut all = Vec::new();
    let groups = |axis: usize| launch.start[axis]..launch.start[axis] + launch.count[axis];
    for wz in groups(2) {
        for wy in groups(1) {
            for wx in groups(0) {
                for z in 0..size[2] {
                    for y in 0..size[1] {
                        for x in 0..size[0] {
                            all.push(Ids {
                                gid: [wx * size[0] + x, wy * size[1] + y, wz * size[2] + z],
                                lid: [x, y, z],
                                wid: [wx, wy, wz],
                                index: (z * size[1] + y) * size[0] + x,
                            });
                        }
                    }
                }
            }
        }
    }
    all
}

/// What invocations really touch, word by word.
#[derive(PartialEq, Debug)]
pub struct Touches {
    lens: Vec<u64>,
    reads: Vec<Vec<bool>>,
    writes: Vec<Vec<bool>>,
}

impl Touches {
    pub fn new(lens: &[u64]) -> Self {
        let words = || {
            lens.iter()
                .map(|&len| vec![false; (len / 4) as usize])
                .collect()
        };
        Touches {
            lens: lens.to_vec(),
            reads: words(),
            writes: words(),
        }
    }

    fn set(words: &mut [bool], first: u64, count: u64) {
        for word in first..first.saturating_add(count) {
            if let Some(word) = words.get_mut(word as usize) {
                *word = true;
            }
        }
    }

    /// Reads the word, if it exists.
    pub fn read(&mut self, binding: usize, word: u32) {
        Self::set(&mut self.reads[binding], word.into(), 1);
    }

    pub fn write(&mut self, binding: usize, word: u32) {
        Self::set(&mut self.writes[binding], word.into(), 1);
    }

    /// Reads `count` words from the byte `offset` on.
    pub fn read_bytes(&mut self, binding: usize, offset: u64, bytes: u64) {
        Self::set(&mut self.reads[binding], offset / 4, bytes / 4);
    }

    pub fn write_bytes(&mut self, binding: usize, offset: u64, bytes: u64) {
        Self::set(&mut self.writes[binding], offset / 4, bytes / 4);
    }

    pub fn update(&mut self, binding: usize, word: u32) {
        self.read(binding, word);
        self.write(binding, word);
    }

    pub fn words(&self, binding: usize) -> u32 {
        (self.lens[binding] / 4) as u32
    }
}

fn ranges(words: &[bool]) -> Vec<std::ops::Range<u64>> {
    let mut ranges: Vec<std::ops::Range<u64>> = Vec::new();
    for (word, _) in words.iter().enumerate().filter(|(_, touched)| **touched) {
        let (start, end) = (word as u64 * 4, word as u64 * 4 + 4);
        match ranges.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => ranges.push(start..end),
        }
    }
    ranges
}

fn contains(footprint: &Footprint, words: &[bool], what: &str) {
    let Footprint::Ranges(found) = footprint else {
        return;
    };
    for wanted in ranges(words) {
        assert!(
            found
                .iter()
                .any(|range| range.start <= wanted.start && wanted.end <= range.end),
            "{what}: touches {wanted:?}, footprint {found:?}"
        );
    }
    for pair in found.windows(2) {
        assert!(
            pair[0].end < pair[1].start,
            "{what}: {found:?} is not in order"
        );
    }
    let bound = words.len() as u64 * 4;
    assert!(
        found
            .iter()
            .all(|range| range.start < range.end && range.end <= bound),
        "{what}: {found:?} leaves the binding of {bound} bytes"
    );
}

/// How close a footprint must be to what is touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// Exactly what is touched.
    Exact,
    /// It begins at the first touched word and ends with the last.
    Hull,
    /// Everything touched is in it.
    Contains,
}

/// Compares footprints with what `touch` does in every invocation.
pub fn check(
    kernel: &Kernel,
    launch: &Launch,
    fit: Fit,
    touch: &dyn Fn(Ids, &mut Touches),
) -> Vec<BindingFootprint> {
    let mut touches = Touches::new(&launch.lens);
    for ids in invocations(kernel.size, launch) {
        touch(ids, &mut touches);
    }
    let found = kernel.footprint(launch);
    assert_eq!(found.len(), kernel.names.len());
    for (binding, footprint) in found.iter().enumerate() {
        let directions = [
            ("reads", &footprint.reads, &touches.reads[binding]),
            ("writes", &footprint.writes, &touches.writes[binding]),
        ];
        for (direction, footprint, words) in directions {
            let what = format!(
                "{direction} of {} for {:?} + {:?}",
                kernel.names[binding], launch.start, launch.count
            );
            contains(footprint, words, &what);
            let wanted = ranges(words);
            match (fit, footprint) {
                (Fit::Contains, _) => continue,
                (Fit::Hull, Footprint::Ranges(found)) if !wanted.is_empty() => {
                    let ends = |ranges: &[std::ops::Range<u64>]| {
                        (
                            ranges.first().map(|r| r.start),
                            ranges.last().map(|r| r.end),
                        )
                    };
                    assert_eq!(ends(found), ends(&wanted), "{what}");
                    continue;
                }
                _ => {}
            }
            assert_eq!(*footprint, Footprint::Ranges(wanted), "{what}");
        }
    }
    found
}

/// Uniform bytes of words.
pub fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The boxes of a launch that tests look at: all of it, its corners, slices of it.
pub fn boxes(grid: [u32; 3], lens: &[u64], uniforms: &[Vec<u8>]) -> Vec<Launch> {
    let mut launches = Vec::new();
    let mut push = |start: [u32; 3], count: [u32; 3]| {
        launches.push(Launch {
            start,
            count,
            grid,
            lens: lens.to_vec(),
            uniforms: uniforms.to_vec(),
        });
    };
    push([0; 3], grid);
    push([0; 3], [1; 3]);
    push([grid[0] - 1, grid[1] - 1, grid[2] - 1], [1; 3]);
    push(
        [grid[0] / 2, 0, 0],
        [grid[0] - grid[0] / 2, grid[1], grid[2]],
    );
    push(
        [0, grid[1] / 3, 0],
        [grid[0], grid[1] - grid[1] / 3, grid[2]],
    );
    launches
}
