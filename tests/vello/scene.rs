//! A picture, encoded as vello does: shapes with transforms and fill rules, brushes of every kind, and clips in clips.

use vello_encoding::{
    DrawBeginClip, DrawTag, Encoding, Layout, PathTag, Style, Transform, resolve_solid_paths_only,
};

use crate::paging::Chance;

/// Pixels of the target's sides: 64 x 64 tiles in 4 x 4 bins.
pub const SIDE: u32 = 1024;
/// Clips within clips: more spill their blending, which vello's two versions count differently.
const DEPTH: usize = 3;

/// The streams in one buffer, and where each begins.
pub struct Scene {
    pub layout: Layout,
    pub data: Vec<u8>,
}

/// Draws so many shapes: diamonds, triangles and rectangles, with holes here and there.
///
/// Every coordinate is an odd multiple of a half or an odd integer, so that none is a tile's edge (there the CPU stages round
/// otherwise than the kernels), and edges are powers of two wide and high, so that every quotient of theirs is exact.
pub fn picture(seed: u64, shapes: usize) -> Scene {
    let mut painter = Painter {
        encoding: Encoding::new(),
        chance: Chance(seed),
        open: Vec::new(),
    };
    painter.encoding.encode_transform(Transform::IDENTITY);
    painter.style(false);
    for _ in 0..shapes {
        let depth = painter.open.len();
        match painter.chance.below(100) {
            0..6 if depth < DEPTH => painter.begin_clip(),
            6..16 if depth > 0 => painter.end_clip(),
            _ => painter.shape(),
        }
    }
    while !painter.open.is_empty() {
        painter.end_clip();
    }
    pack(&painter.encoding)
}

pub fn pack(encoding: &Encoding) -> Scene {
    let mut data = Vec::new();
    let layout = resolve_solid_paths_only(encoding, &mut data);
    Scene { layout, data }
}

struct Painter {
    encoding: Encoding,
    chance: Chance,
    /// Where the open clips lie.
    open: Vec<[i32; 2]>,
}

impl Painter {
    fn style(&mut self, even_odd: bool) {
        let style = Style {
            flags_and_miter_limit: if even_odd { Style::FLAGS_FILL_BIT } else { 0 },
            line_width: 0.0,
        };
        if self.encoding.styles.last() != Some(&style) {
            self.encoding.path_tags.push(PathTag::STYLE);
            self.encoding.styles.push(style);
        }
    }

    /// Turns, doubles or not, and moves: somewhere in the picture and a little beyond it, or near the clip that is open.
    fn place(&mut self) -> [i32; 2] {
        let chance = &mut self.chance;
        let around = |chance: &mut Chance, middle: i32, reach: u32| {
            middle - reach as i32 + chance.below(2 * reach) as i32
        };
        let [x, y] = match self.open.last() {
            Some(&[x, y]) => [around(chance, x, 48), around(chance, y, 48)],
            None => [0; 2].map(|_| around(chance, SIDE as i32 / 2, SIDE / 2 + 40)),
        };
        // Even, so that what is moved stays odd, and not zero, which has two signs.
        let at = [x, y].map(|x| if x / 2 == 0 { 2 } else { x / 2 * 2 });
        let s = chance.pick(&[1.0_f32, 2.0]);
        let matrix = chance.pick(&[
            [s, 0.0, 0.0, s],
            [0.0, s, -s, 0.0],
            [-s, 0.0, 0.0, -s],
            [0.0, -s, s, 0.0],
        ]);
        self.encoding.encode_transform(Transform {
            matrix,
            translation: at.map(|x| x as f32),
        });
        at
    }

    /// A path of one outline or two about a middle, with edges from `sizes`.
    fn path(&mut self, sizes: &[f32]) {
        let chance = &mut self.chance;
        let [a, b] = [0; 2].map(|_| chance.pick(sizes));
        let [x, y] = [0; 2].map(|_| chance.below(12) as f32 - 5.5);
        let kind = chance.below(3);
        let hole = chance.below(4) == 0;
        let mut path = self.encoding.encode_path(true);
        for (a, b) in [(a, b), (a / 2.0, b / 2.0)]
            .into_iter()
            .take(1 + usize::from(hole))
        {
            let corners: &[[f32; 2]] = match kind {
                0 => &[[x, y - b], [x + a, y], [x, y + b], [x - a, y]],
                1 => &[[x, y - b], [x + a, y], [x - a, y]],
                _ => &[[x, y], [x + a, y], [x + a, y + b], [x, y + b]],
            };
            path.move_to(corners[0][0], corners[0][1]);
            corners[1..].iter().for_each(|c| path.line_to(c[0], c[1]));
            path.close();
        }
        path.finish(true);
    }

    fn shape(&mut self) {
        self.place();
        let even_odd = self.chance.below(2) == 0;
        self.style(even_odd);
        self.path(&[4.0, 8.0, 16.0, 32.0]);
        let color = self.chance.next() as u32;
        let [x, y, far] = [1.5_f32, 3.5, 65.5].map(f32::to_bits);
        let [r, t] = [16.0_f32, 0.25].map(f32::to_bits);
        // What each brush is made of: see vello's `DrawLinearGradient` and so on.
        let (tag, data): (DrawTag, &[u32]) = match self.chance.below(20) {
            0 => (DrawTag::LINEAR_GRADIENT, &[5, x, y, far, y]),
            // Of no radius, along a diagonal: else there is a root to take, and zeros of both signs.
            1 => (DrawTag::RADIAL_GRADIENT, &[6, x, x, far, far, 0, 0]),
            2 => (DrawTag::SWEEP_GRADIENT, &[7, x, y, 0, t]),
            3 => (DrawTag::IMAGE, &[0x0010_0020, 0x0040_0040, 0xff]),
            4 => (DrawTag::BLUR_RECT, &[color, r, r, x, t]),
            _ => (DrawTag::COLOR, &[color]),
        };
        self.encoding.draw_tags.push(tag);
        self.encoding.draw_data.extend(data);
    }

    fn begin_clip(&mut self) {
        let at = self.place();
        self.style(false);
        self.path(&[32.0, 64.0]);
        let parameters = match self.chance.below(3) {
            0 => DrawBeginClip {
                blend_mode: 3,
                alpha: 0.5,
            },
            _ => DrawBeginClip::clip(),
        };
        self.encoding.encode_begin_clip(parameters);
        self.open.push(at);
    }

    fn end_clip(&mut self) {
        self.encoding.encode_end_clip();
        self.open.pop();
    }
}
