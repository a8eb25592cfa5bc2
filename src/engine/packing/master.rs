//! The master program of column generation: the cheapest mix of filled bins that holds all items, bins in fractions, by the revised simplex method.
//!
//! A row stands for all items of one kind. It begins with each kind alone in its bins, which holds any number.
//!
//! **Invariant:** its results only propose. Whoever needs a proof, or whole bins, works them out in integers.

/// Something that the program may buy in fractions.
#[derive(Debug, Clone)]
pub struct Column {
    /// What one of it costs; above zero.
    pub price: f64,
    /// How much it holds of each kind of which it holds any.
    pub amounts: Vec<(usize, f64)>,
}

/// What counts as zero in a pivot.
const TINY: f64 = 1e-11;

/// A column is worth entering if it promises more than its price by this part of it.
const LEAST_GAIN: f64 = 1e-9;

/// The program and its current solution.
#[derive(Debug)]
pub struct Master<'a> {
    counts: &'a [u64],
    /// The row of each kind that counts.
    rows: Vec<Option<usize>>,
    kinds: Vec<usize>,
    /// The inverse of the basis, a last column with the amounts of the basis' columns after it.
    inverse: Vec<Vec<f64>>,
    /// What one unit of each column of the basis costs.
    costs: Vec<f64>,
    /// Which columns these are, of those that were given, and how many of each are one unit.
    basis: Vec<Option<(usize, f64)>>,
    pivots: u64,
}

impl<'a> Master<'a> {
    /// A program for so many of each kind; `alone` is the price of one where bins hold nothing else. Kinds that cost nothing do not count.
    pub fn new(counts: &'a [u64], alone: &[f64]) -> Self {
        let kinds: Vec<usize> =
            (0..counts.len()).filter(|kind| counts[*kind] > 0 && alone[*kind] > 0.0).collect();
        let mut rows = vec![None; counts.len()];
        kinds.iter().enumerate().for_each(|(row, kind)| rows[*kind] = Some(row));
        let identity = |row| {
            (0..=kinds.len()).map(|at| if at == row || at == kinds.len() { 1.0 } else { 0.0 }).collect()
        };
        let inverse = (0..kinds.len()).map(identity).collect();
        let costs = kinds.iter().map(|kind| counts[*kind] as f64 * alone[*kind]).collect();
        let basis = vec![None; kinds.len()];
        Self { counts, rows, kinds, inverse, costs, basis, pivots: 0 }
    }

    /// The least cost with these columns, of which there must be none fewer than the last time, and the worth of one of each kind at it.
    pub fn optimise(&mut self, columns: &[Column]) -> (f64, Vec<f64>) {
        let size = self.kinds.len();
        let mut duals = self.duals();
        for _ in 0..20 * (size + 10) {
            let gain = |column: &Column| {
                let worth = column.amounts.iter().filter_map(|(kind, amount)| {
                    self.rows[*kind].map(|row| duals[row] * amount / self.counts[*kind] as f64)
                });
                worth.sum::<f64>() / column.price
            };
            let gains = columns.iter().enumerate().map(|(at, column)| (gain(column), at));
            let best = gains.max_by(|(a, _), (b, _)| a.total_cmp(b));
            let Some((_, at)) = best.filter(|(gain, _)| *gain > 1.0 + LEAST_GAIN) else { break };
            if !self.enter(at, &columns[at]) {
                break;
            }
            duals = self.duals();
        }
        let mut worth = vec![0.0; self.counts.len()];
        for (kind, dual) in self.kinds.iter().zip(&duals) {
            worth[*kind] = (dual / self.counts[*kind] as f64).max(0.0);
        }
        (duals.iter().sum(), worth)
    }

    /// Steps of the simplex method since this was asked last.
    pub fn take_pivots(&mut self) -> u64 {
        std::mem::take(&mut self.pivots)
    }

    /// How many of each column the solution buys, those of which it buys any.
    pub fn bought(&self) -> Vec<(usize, f64)> {
        let last = self.kinds.len();
        let bought = self.basis.iter().zip(&self.inverse).filter_map(|(column, line)| {
            let (at, unit) = (*column)?;
            Some((at, line[last] * unit)).filter(|(_, count)| *count > TINY.sqrt())
        });
        bought.collect()
    }

    fn duals(&self) -> Vec<f64> {
        let size = self.kinds.len();
        let mut duals = vec![0.0; size];
        for (line, cost) in self.inverse.iter().zip(&self.costs) {
            duals.iter_mut().zip(line).for_each(|(dual, cell)| *dual += cost * cell);
        }
        duals
    }

    /// Takes a column into the basis; false if that is numerically impossible.
    fn enter(&mut self, at: usize, column: &Column) -> bool {
        let entries: Vec<(usize, f64)> = column
            .amounts
            .iter()
            .filter_map(|(kind, amount)| Some((self.rows[*kind]?, amount / self.counts[*kind] as f64)))
            .collect();
        // One unit of the column is so many bins that the largest of its entries is one.
        let unit = 1.0 / entries.iter().map(|(_, entry)| *entry).fold(0.0, f64::max);
        let last = self.kinds.len();
        self.pivots += 1;
        let mut leaving = None;
        for (row, line) in self.inverse.iter_mut().enumerate() {
            let entry: f64 = entries.iter().map(|(at, entry)| line[*at] * entry * unit).sum();
            let ratio = line[last] / entry;
            if entry > TINY.sqrt() && leaving.is_none_or(|(_, least)| ratio < least) {
                leaving = Some((row, ratio));
            }
            // A column to pivot on, taken off again below.
            line.push(entry);
        }
        if let Some((row, _)) = leaving {
            pivot(&mut self.inverse, row, last + 1);
            self.costs[row] = column.price * unit;
            self.basis[row] = Some((at, unit));
        }
        self.inverse.iter_mut().for_each(|line| line.truncate(last + 1));
        leaving.is_some()
    }
}

/// Makes a column that of a unit vector.
pub fn pivot(table: &mut [Vec<f64>], row: usize, column: usize) {
    let divisor = table[row][column];
    table[row].iter_mut().for_each(|cell| *cell /= divisor);
    let line = std::mem::take(&mut table[row]);
    for other in table.iter_mut().filter(|other| !other.is_empty()) {
        let factor = other[column];
        if factor != 0.0 {
            other.iter_mut().zip(&line).for_each(|(cell, by)| *cell -= factor * by);
        }
    }
    table[row] = line;
}
