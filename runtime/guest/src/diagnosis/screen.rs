//! Pictures of a guest's screen: QEMU gives PPM, people want PNG.

/// A picture, eight bits a colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screen {
    width: u32,
    height: u32,
    /// Red, green and blue of each pixel, row by row.
    pixels: Vec<u8>,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum ScreenError {
    /// It is no PPM as QEMU writes it.
    #[error("the screen's picture is not one: {0}")]
    Form(&'static str),
    /// It could not be written as PNG.
    #[error("cannot write the screen's picture as PNG")]
    Png(#[from] png::EncodingError),
}

/// No screen is larger.
const LARGEST: u32 = 16384;

impl Screen {
    /// Reads a binary PPM (`P6`) of 255 levels.
    ///
    /// # Errors
    /// It is none, or not whole.
    pub fn from_ppm(bytes: &[u8]) -> Result<Self, ScreenError> {
        let mut rest = bytes.strip_prefix(b"P6").ok_or(ScreenError::Form("it is no PPM"))?;
        let mut numbers = [0; 3];
        for number in &mut numbers {
            (*number, rest) = next_number(rest).ok_or(ScreenError::Form("its size is not there"))?;
        }
        let [width, height, levels] = numbers;
        if levels != 255 || width == 0 || height == 0 || width > LARGEST || height > LARGEST {
            return Err(ScreenError::Form("its size is not one of a screen"));
        }
        let length = width as usize * height as usize * 3;
        // One blank ends the header.
        let pixels = rest.get(1..).and_then(|rest| rest.get(..length)).ok_or(ScreenError::Form("it is cut short"))?;
        Ok(Self { width, height, pixels: pixels.to_vec() })
    }

    /// The picture as PNG.
    ///
    /// # Errors
    /// Only where our own picture is not sound.
    pub fn to_png(&self) -> Result<Vec<u8>, ScreenError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.pixels)?;
        writer.finish()?;
        Ok(bytes)
    }

    /// Whether nothing is on it: there is no point in keeping a black picture.
    pub fn is_blank(&self) -> bool {
        self.pixels.iter().all(|level| *level == 0)
    }
}

/// A decimal number after blanks and comments, and what follows.
fn next_number(mut bytes: &[u8]) -> Option<(u32, &[u8])> {
    loop {
        bytes = bytes.trim_ascii_start();
        match bytes.strip_prefix(b"#") {
            Some(comment) => bytes = comment.get(comment.iter().position(|byte| *byte == b'\n')?..)?,
            None => break,
        }
    }
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}
