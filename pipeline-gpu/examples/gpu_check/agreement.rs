//! That a model gives the same numbers as on the CPU.

use std::num::NonZeroUsize;

use pipeline_gpu::{
    Cancel,
    onnx::{Inputs, OnnxError, OnnxModel, Outputs, TensorData},
};

use crate::{
    Done,
    place::{Place, load},
    report::Report,
    subject::{self, Subject},
};

/// Of the largest value: with all 23 bits of mantissa, only sums are in another order.
const EXACT: f64 = 1e-3;
/// With 10 bits of mantissa in each product.
const ROUNDED: f64 = 5e-2;
/// Between one thread of the CPU and several.
const ON_CPU: f64 = 1e-4;

pub(crate) fn check(place: &Place, report: &mut Report) -> Done {
    for subject in subject::ALL {
        let reference = load(place.reference(&subject).threads(NonZeroUsize::MIN))?;
        let expected = run(&reference, (subject.inputs)())?;
        let ways: &[_] = if place.is_on_cpu() {
            &[("all threads", true, ON_CPU)]
        } else {
            &[("TF32 off", false, EXACT), ("TF32 on", true, ROUNDED)]
        };
        for (way, tf32, tolerance) in ways {
            let model = load(place.builder(&subject).tf32(*tf32))?;
            let found = run(&model, (subject.inputs)())?;
            for output in subject.outputs {
                let apart = Apart::of(&subject, output, &expected, &found)?;
                let relative = apart.relative();
                let said = format!(
                    "{way}: {:.1e} apart at most, {relative:.1e} of the largest, {:.3}; {} values, may be {tolerance:.0e}",
                    apart.absolute, apart.largest, apart.values
                );
                let name = format!("{} {output}", subject.name);
                // Not a number is never within.
                report.check(&name, apart.values > 0 && relative <= *tolerance, &said);
            }
        }
    }
    Ok(())
}

/// How far two outputs are apart.
struct Apart {
    absolute: f64,
    largest: f64,
    values: usize,
}

impl Apart {
    fn of(
        subject: &Subject,
        output: &str,
        expected: &Outputs,
        found: &Outputs,
    ) -> Result<Self, String> {
        let [one, other] = [values(expected, output)?, values(found, output)?];
        if one.len() != other.len() {
            return Err(format!(
                "{output}: {} values, then {}",
                one.len(),
                other.len()
            ));
        }
        let sure = match subject.where_sure {
            Some((name, above)) => values(expected, name)?
                .iter()
                .map(|value| *value > above)
                .collect(),
            None => vec![true; one.len()],
        };
        let mut apart = Self {
            absolute: 0.0,
            largest: 0.0,
            values: 0,
        };
        for ((one, other), _) in one.iter().zip(&other).zip(sure).filter(|(_, sure)| *sure) {
            // `max` would leave out what is not a number.
            let difference = (one - other).abs();
            if difference.is_nan() || difference > apart.absolute {
                apart.absolute = difference;
            }
            apart.largest = apart.largest.max(one.abs());
            apart.values += 1;
            if difference.is_nan() {
                break;
            }
        }
        Ok(apart)
    }

    fn relative(&self) -> f64 {
        match self.largest {
            0.0 => self.absolute,
            largest => self.absolute / largest,
        }
    }
}

fn values(outputs: &Outputs, name: &str) -> Result<Vec<f64>, String> {
    let tensor = outputs.get(name).ok_or_else(|| format!("no {name}"))?;
    match tensor.data() {
        TensorData::F32(values) => Ok(values.iter().copied().map(f64::from).collect()),
        TensorData::F64(values) => Ok(values.clone()),
        other => Err(format!("{name} holds {}", other.element_type())),
    }
}

fn run(model: &OnnxModel, inputs: Inputs) -> Result<Outputs, OnnxError> {
    model.run_blocking(inputs, &Cancel::new())
}
