//! Tensors of many items made one, for models that take several at a time, and parted again.

use super::tensor::{Tensor, TensorError};

impl Tensor {
    /// Makes one tensor of several, along the first dimension: of three `[1, 3, 64, 64]` one `[3,
    /// 3, 64, 64]`.
    ///
    /// # Errors
    ///
    /// [`TensorError::Unlike`] if they are not of one type, and of one shape but for the first
    /// dimension; if there are none, or they have no dimension.
    ///
    /// # Examples
    ///
    /// ```
    /// use pipeline_gpu::onnx::Tensor;
    ///
    /// let one = Tensor::new([1, 2], vec![1_i64, 2])?;
    /// let two = Tensor::new([1, 2], vec![3_i64, 4])?;
    /// let both = Tensor::stack(vec![one.clone(), two.clone()])?;
    /// assert_eq!(both, Tensor::new([2, 2], vec![1_i64, 2, 3, 4])?);
    /// assert_eq!(both.split(2)?, [one, two]);
    /// # Ok::<(), pipeline_gpu::onnx::TensorError>(())
    /// ```
    pub fn stack(tensors: Vec<Self>) -> Result<Self, TensorError> {
        let mut tensors = tensors.into_iter();
        let mut whole = tensors.next().ok_or(TensorError::Unlike { index: 0 })?;
        if whole.shape.is_empty() {
            return Err(TensorError::Unlike { index: 0 });
        }
        for (before, mut tensor) in tensors.enumerate() {
            let is_like =
                tensor.shape.len() == whole.shape.len() && tensor.shape[1..] == whole.shape[1..];
            if !is_like || !whole.data.append(&mut tensor.data) {
                return Err(TensorError::Unlike { index: before + 1 });
            }
            // Of tensors without elements any number of rows is none in memory.
            let rows = whole.shape[0].checked_add(tensor.shape[0]);
            whole.shape[0] = rows.ok_or(TensorError::Unlike { index: before + 1 })?;
        }
        Ok(whole)
    }

    /// Parts a tensor along the first dimension: of one `[6, 84, 64]` in 3 parts, three `[2, 84,
    /// 64]`.
    ///
    /// # Errors
    ///
    /// [`TensorError::Parts`] if the first dimension is no multiple of `parts`, or there is none.
    pub fn split(mut self, parts: usize) -> Result<Vec<Self>, TensorError> {
        let first = self.shape.first().copied();
        let rows = first.and_then(|rows| {
            rows.checked_rem(parts)
                .filter(|rest| *rest == 0)
                .map(|_| rows / parts)
        });
        let Some(rows) = rows else {
            return Err(TensorError::Parts {
                shape: self.shape,
                parts,
            });
        };
        let len = self.len() / parts;
        self.shape[0] = rows;
        // From the end, so that what is left is moved only once.
        let mut all: Vec<_> = (1..parts)
            .rev()
            .map(|part| Self {
                shape: self.shape.clone(),
                data: self.data.split_off(part * len),
            })
            .collect();
        all.push(self);
        all.reverse();
        Ok(all)
    }
}
