//! SPIR-V by hand: what no text here compiles to.

/// Instructions of a module, in order.
#[derive(Default)]
pub struct Assembler {
    words: Vec<u32>,
    ids: u32,
}

impl Assembler {
    /// An id that is not used yet.
    pub fn id(&mut self) -> u32 {
        self.ids += 1;
        self.ids
    }

    /// An instruction.
    pub fn op(&mut self, code: u16, operands: &[u32]) -> &mut Self {
        self.words
            .push(((operands.len() as u32 + 1) << 16) | u32::from(code));
        self.words.extend_from_slice(operands);
        self
    }

    /// An instruction with a result: its type first, where it has one, then the result's new id.
    pub fn made(&mut self, code: u16, ty: Option<u32>, operands: &[u32]) -> u32 {
        let id = self.id();
        let mut all: Vec<u32> = ty.into_iter().collect();
        all.push(id);
        all.extend_from_slice(operands);
        self.op(code, &all);
        id
    }

    /// The module.
    pub fn finished(&self) -> Vec<u32> {
        let mut all = vec![0x0723_0203, 0x0001_0300, 0, self.ids + 1, 0];
        all.extend_from_slice(&self.words);
        all
    }
}

/// A literal string.
pub fn string(text: &str) -> Vec<u32> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
        .chunks_exact(4)
        .map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]))
        .collect()
}

/// The instructions of a module, without its header.
pub fn instructions(words: &[u32]) -> Vec<Vec<u32>> {
    let mut out = Vec::new();
    let mut at = 5;
    while at < words.len() {
        let count = (words[at] >> 16) as usize;
        out.push(words[at..at + count].to_vec());
        at += count;
    }
    out
}

/// A module of other instructions.
pub fn with(words: &[u32], instructions: &[Vec<u32>]) -> Vec<u32> {
    let mut out = words[..5].to_vec();
    // Room for new ids.
    out[3] += 100;
    out.extend(instructions.iter().flatten());
    out
}
