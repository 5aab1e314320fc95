//! SPIR-V in.
//!
//! naga parses it. What it passes over is read here beforehand, off the instructions: workgroup sizes that are
//! specialisation constants, and the source lines that a compiler noted (`OpLine`).

use std::collections::{HashMap, HashSet};

use naga::front::spv;
use naga::proc::Layouter;
use naga::{EntryPoint, Expression, Module, ShaderStage, Span, TypeInner};

use super::guard::caught;
use super::lines::{self, Lines};
use super::{elect, frozen};
use crate::error::ShaderError;

const MAGIC: u32 = 0x0723_0203;
/// Words before the first instruction.
pub(super) const HEADER: usize = 5;
/// The most structured branches and loops of a function: any of them may be inside the other.
const BRANCHES: u32 = 20_000;
/// The most functions, and the most types, of a module.
const DECLARED: u32 = 20_000;

/// The opcodes that are looked at.
mod op {
    pub(super) const NAME: u16 = 5;
    pub(super) const LINE: u16 = 8;
    pub(super) const ENTRY_POINT: u16 = 15;
    pub(super) const EXECUTION_MODE: u16 = 16;
    pub(super) const CAPABILITY: u16 = 17;
    pub(super) const TYPES: std::ops::RangeInclusive<u16> = 19..=39;
    pub(super) const TYPE_SAMPLED_IMAGE: u16 = 27;
    pub(super) const TYPE_POINTER: u16 = 32;
    pub(super) const TYPE_FUNCTION: u16 = 33;
    pub(super) const CONSTANT: u16 = 43;
    pub(super) const CONSTANT_COMPOSITE: u16 = 44;
    pub(super) const SPEC_CONSTANT: u16 = 50;
    pub(super) const SPEC_CONSTANT_COMPOSITE: u16 = 51;
    pub(super) const FUNCTION: u16 = 54;
    pub(super) const FUNCTION_END: u16 = 56;
    pub(super) const VARIABLE: u16 = 59;
    pub(super) const DECORATE: u16 = 71;
    pub(super) const LOOP_MERGE: u16 = 246;
    pub(super) const SELECTION_MERGE: u16 = 247;
    pub(super) const LABEL: u16 = 248;
    pub(super) const NO_LINE: u16 = 317;
    pub(super) const EXECUTION_MODE_ID: u16 = 331;
}

/// Capabilities that naga refuses although what it reads needs none of them: 16-bit values in push constants and between
/// stages, and variable pointers, whose uses it refuses one by one.
const NEEDLESS: [u32; 4] = [4435, 4436, 4441, 4442];

const MODE_LOCAL_SIZE_ID: u32 = 38;
const DECORATION_SPEC_ID: u32 = 1;
const DECORATION_BUILT_IN: u32 = 11;
const BUILT_IN_WORKGROUP_SIZE: u32 = 25;
const MODEL_COMPUTE: u32 = 5;

/// Whether bytes begin as SPIR-V does, in either byte order.
pub(super) fn is_spirv(bytes: &[u8]) -> bool {
    bytes.len() >= 4
        && [MAGIC.to_le_bytes(), MAGIC.to_be_bytes()]
            .contains(&[bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Parses SPIR-V of either byte order. The text has the lines that its positions lead to, all of them empty.
pub(super) fn parse(bytes: &[u8]) -> Result<(Module, String), ShaderError> {
    let words = words(bytes)?;
    // What is cut off is told before anything is changed.
    scan(&words)?;
    let (mut words, mut notes) = scan(&elect::replaced(&frozen::frozen(&words)))?;
    if let Some(rest) = notes.without_size_constant(&words) {
        let (again, moved) = scan(&rest)?;
        words = again;
        notes.lines = moved.lines;
    }
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let parsed = caught(|| spv::parse_u8_slice(&bytes, &spv::Options::default()))?;
    let mut module = parsed.map_err(|e| {
        if notes.combined {
            // naga misses a variable.
            return unsupported("a texture and its sampler in one binding");
        }
        wrong(crate::error::chain(&e))
    })?;
    check_strides(&module)?;
    notes.size_workgroups(&mut module)?;
    let text = lines::settle(&mut module, &notes.lines);
    Ok((module, text))
}

/// Refuses arrays whose elements overlap, which no other language has and no validator looks for.
fn check_strides(module: &Module) -> Result<(), ShaderError> {
    let mut layouter = Layouter::default();
    if caught(|| layouter.update(module.to_ctx()))?.is_err() {
        // The validator says why.
        return Ok(());
    }
    for (_, ty) in module.types.iter() {
        if let TypeInner::Array { base, stride, .. } = ty.inner
            && (stride == 0 || stride < layouter[base].size)
        {
            return Err(ShaderError::Invalid {
                line: 0,
                message: format!(
                    "the elements of an array are {stride} bytes apart, and {} long",
                    layouter[base].size
                ),
                report: String::new(),
            });
        }
    }
    Ok(())
}

fn wrong(message: String) -> ShaderError {
    ShaderError::Parse {
        line: 0,
        message,
        report: String::new(),
    }
}

/// The words in this machine's byte order.
fn words(bytes: &[u8]) -> Result<Vec<u32>, ShaderError> {
    if !is_spirv(bytes) {
        return Err(wrong(
            "this is no SPIR-V: it begins with other bytes".to_owned(),
        ));
    }
    let (chunks, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() || chunks.len() < HEADER {
        return Err(wrong(format!(
            "this SPIR-V is cut off: {} bytes are no whole number of words after a header",
            bytes.len()
        )));
    }
    let little = chunks[0] == MAGIC.to_le_bytes();
    let read = |chunk: &[u8; 4]| {
        if little {
            u32::from_le_bytes(*chunk)
        } else {
            u32::from_be_bytes(*chunk)
        }
    };
    Ok(chunks.iter().map(read).collect())
}

/// What naga does not say.
#[derive(Default)]
struct Notes {
    /// Name and function of each compute entry point.
    entries: Vec<(String, u32)>,
    /// The ids of a workgroup's three sizes, by the entry point's function.
    size_ids: HashMap<u32, [u32; 3]>,
    /// The constant that says the size for all entry points.
    size_constant: Option<u32>,
    /// Types of textures joined with samplers, and of pointers to them.
    sampled: HashSet<u32>,
    /// Whether a variable is a texture joined with its sampler.
    combined: bool,
    /// Constants of one word.
    constants: HashMap<u32, u32>,
    composites: HashMap<u32, Vec<u32>>,
    /// Numbers of specialisation constants.
    spec_ids: HashMap<u32, u32>,
    lines: Lines,
}

/// Reads the notes, and leaves out the instructions that naga does not know.
fn scan(words: &[u32]) -> Result<(Vec<u32>, Notes), ShaderError> {
    let mut kept = words[..HEADER].to_vec();
    let mut notes = Notes::default();
    let (mut branches, mut functions, mut types) = (0, 0, 0);
    let mut blocks = HashSet::new();
    // naga's positions count the words that it reads one by one, not those that it takes together.
    let mut uncounted = 0;
    let mut at = HEADER;
    while at < words.len() {
        let (count, code) = ((words[at] >> 16) as usize, words[at] as u16);
        let instruction = (count > 0)
            .then(|| words.get(at..at + count))
            .flatten()
            .ok_or_else(|| {
                wrong(format!(
                    "this SPIR-V is cut off: the instruction at word {at} has {count} words"
                ))
            })?;
        at += count;
        let offset = 4 * (kept.len() - uncounted) as u32;
        match code {
            op::LOOP_MERGE | op::SELECTION_MERGE => branches += 1,
            op::FUNCTION => {
                branches = 0;
                functions += 1;
            }
            code if op::TYPES.contains(&code) => types += 1,
            _ => {}
        }
        if branches > BRANCHES || functions > DECLARED || types > DECLARED {
            return Err(wrong(format!(
                "this SPIR-V has more than {BRANCHES} branches in a function, or {DECLARED} functions or types"
            )));
        }
        uncounted += match code {
            op::ENTRY_POINT => count.saturating_sub(3 + words_of_string(instruction.get(3..))),
            op::EXECUTION_MODE | op::TYPE_FUNCTION => count.saturating_sub(3),
            _ => 0,
        };
        match (code, &instruction[1..]) {
            (op::EXECUTION_MODE_ID, &[function, MODE_LOCAL_SIZE_ID, x, y, z]) => {
                notes.size_ids.insert(function, [x, y, z]);
                continue;
            }
            (op::CAPABILITY, &[capability]) if NEEDLESS.contains(&capability) => continue,
            (op::ENTRY_POINT, &[MODEL_COMPUTE, function, ref name @ ..]) => {
                notes.entries.push((string(name), function));
            }
            (op::DECORATE, &[target, DECORATION_BUILT_IN, BUILT_IN_WORKGROUP_SIZE]) => {
                notes.size_constant = Some(target);
            }
            (op::DECORATE, &[target, DECORATION_SPEC_ID, id]) => {
                notes.spec_ids.insert(target, id);
            }
            (op::TYPE_SAMPLED_IMAGE, &[id, _]) => {
                notes.sampled.insert(id);
            }
            (op::TYPE_POINTER, &[id, _, ref ty]) if notes.sampled.contains(ty) => {
                notes.sampled.insert(id);
            }
            (op::VARIABLE, [ty, ..]) => notes.combined |= notes.sampled.contains(ty),
            (op::CONSTANT | op::SPEC_CONSTANT, &[_, id, value]) => {
                notes.constants.insert(id, value);
            }
            (op::CONSTANT_COMPOSITE | op::SPEC_CONSTANT_COMPOSITE, &[_, id, ref parts @ ..]) => {
                notes.composites.insert(id, parts.to_vec());
            }
            // naga would take parts of one block for the other's.
            (op::LABEL, &[id, ..]) if !blocks.insert(id) => {
                return Err(wrong(format!("this SPIR-V has two blocks called %{id}")));
            }
            (op::LINE, &[_, line, _]) => notes.lines.begin(offset, Some(line)),
            (op::NO_LINE | op::FUNCTION_END, _) => notes.lines.begin(offset, None),
            _ => {}
        }
        kept.extend_from_slice(instruction);
    }
    Ok((kept, notes))
}

/// How many of these words a literal string at their beginning takes.
fn words_of_string(words: Option<&[u32]>) -> usize {
    let words = words.unwrap_or_default();
    let ends = |word: &u32| word.to_le_bytes().contains(&0);
    words.iter().position(ends).map_or(words.len(), |i| i + 1)
}

/// A literal string: bytes up to the first zero, four in a word.
fn string(words: &[u32]) -> String {
    let bytes: Vec<u8> = words
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .take_while(|byte| *byte != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Notes {
    /// The module without the constant that says the workgroup's size, if that is specialised and no function reads it:
    /// naga knows no composite of specialisation constants, and what it is made of is noted.
    fn without_size_constant(&self, words: &[u32]) -> Option<Vec<u32>> {
        let size = self.size_constant?;
        let mut rest = words[..HEADER].to_vec();
        let mut at = HEADER;
        let mut inside = false;
        let mut specialised = false;
        while at < words.len() {
            let (count, code) = ((words[at] >> 16) as usize, words[at] as u16);
            let operands = &words[at + 1..at + count];
            inside |= code == op::FUNCTION;
            if inside && code != op::LINE && operands.contains(&size) {
                return None;
            }
            let made = code == op::SPEC_CONSTANT_COMPOSITE && operands.get(1) == Some(&size);
            let told = [op::NAME, op::DECORATE].contains(&code) && operands.first() == Some(&size);
            specialised |= made;
            if !made && !told {
                rest.extend_from_slice(&words[at..at + count]);
            }
            at += count;
        }
        specialised.then_some(rest)
    }

    /// Gives the entry points the sizes that constants say.
    fn size_workgroups(&self, module: &mut Module) -> Result<(), ShaderError> {
        let of_all = self.size_constant.and_then(|id| self.composites.get(&id));
        let of_all = of_all.and_then(|parts| <[u32; 3]>::try_from(parts.as_slice()).ok());
        if self.size_constant.is_some() && of_all.is_none() {
            return Err(unsized_workgroups());
        }
        for i in 0..module.entry_points.len() {
            let entry = &module.entry_points[i];
            if entry.stage != ShaderStage::Compute {
                continue;
            }
            let own = (self.entries.iter())
                .find(|(name, _)| *name == entry.name)
                .and_then(|(_, function)| self.size_ids.get(function));
            // A constant that says the size goes before the entry point's own words.
            let Some(ids) = of_all.as_ref().or(own) else {
                continue;
            };
            self.size(module, i, ids)?;
        }
        Ok(())
    }

    fn size(&self, module: &mut Module, entry: usize, ids: &[u32; 3]) -> Result<(), ShaderError> {
        let mut sizes = [1; 3];
        let mut overrides = [None; 3];
        for (axis, id) in ids.iter().enumerate() {
            sizes[axis] = *self.constants.get(id).ok_or_else(unsized_workgroups)?;
            let Some(&number) = self.spec_ids.get(id) else {
                continue;
            };
            let declared = (module.overrides.iter())
                .find(|(_, o)| o.id.is_some_and(|id| u32::from(id) == number))
                .map(|(handle, _)| handle)
                .ok_or_else(unsized_workgroups)?;
            let value = Expression::Override(declared);
            overrides[axis] = Some(module.global_expressions.append(value, Span::UNDEFINED));
        }
        let entry: &mut EntryPoint = &mut module.entry_points[entry];
        entry.workgroup_size = sizes;
        entry.workgroup_size_overrides = overrides.iter().any(Option::is_some).then_some(overrides);
        Ok(())
    }
}

fn unsized_workgroups() -> ShaderError {
    unsupported("a workgroup size that is neither a constant nor a specialisation constant")
}

fn unsupported(construct: &str) -> ShaderError {
    ShaderError::Unsupported {
        construct: construct.to_owned(),
        line: 0,
    }
}
