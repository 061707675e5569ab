//! What the machine must be by how many work with it at the same time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Amount, Count, Requirements};

/// One row of a table of sizes: it holds from so many users on, up to the next row, so that on a border the larger one holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sizing {
    /// The least number of concurrent users for which the row holds; the first row's is 1.
    #[schemars(range(min = 1))]
    pub users: u32,
    /// Logical processors (`cpu.cores`).
    pub cpu: Count,
    /// Physical memory (`memory.total`).
    pub memory: Amount,
}

impl Requirements {
    /// The row for so many concurrent users; where nobody says how many, the first.
    #[must_use]
    pub fn sizing(&self, users: Option<u32>) -> Option<&Sizing> {
        let fitting = |row: &&Sizing| users.is_some_and(|users| row.users <= users);
        self.sizes.iter().filter(fitting).max_by_key(|row| row.users).or(self.sizes.first())
    }

    /// The processors that are asked for with so many concurrent users.
    #[must_use]
    pub fn cpu_for(&self, users: Option<u32>) -> Option<Count> {
        self.sizing(users).map(|row| row.cpu).or(self.cpu)
    }

    /// The memory that is asked for with so many concurrent users.
    #[must_use]
    pub fn memory_for(&self, users: Option<u32>) -> Option<Amount> {
        self.sizing(users).map(|row| row.memory).or(self.memory)
    }

    /// Why so much is asked for: a clause to follow the amount, empty where no table decides it.
    #[must_use]
    pub fn reason(&self, users: Option<u32>) -> String {
        match (self.sizes.is_empty(), users) {
            (true, _) => String::new(),
            (false, Some(users)) => format!(" for {users} concurrent users"),
            (false, None) => " for the fewest users, as the site says no number".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SCOT4's own table: up to 4, 4 to 8, 8 to 32, 32 and more.
    const SCOT4: &str = "
        [[sizes]]
        users = 1
        cpu = { minimum = 4 }
        memory = { minimum = '16 GB' }
        [[sizes]]
        users = 4
        cpu = { minimum = 8 }
        memory = { minimum = '16 GB' }
        [[sizes]]
        users = 8
        cpu = { minimum = 8 }
        memory = { minimum = '32 GB' }
        [[sizes]]
        users = 32
        cpu = { minimum = 16 }
        memory = { minimum = '64 GB' }";

    #[test]
    fn on_a_border_the_larger_row_holds() {
        let requirements: Requirements = toml::from_str(SCOT4).unwrap();
        for (users, cpu, memory) in [
            (None, 4, "16 GB"),
            (Some(1), 4, "16 GB"),
            (Some(3), 4, "16 GB"),
            (Some(4), 8, "16 GB"),
            (Some(7), 8, "16 GB"),
            (Some(8), 8, "32 GB"),
            (Some(31), 8, "32 GB"),
            (Some(32), 16, "64 GB"),
            (Some(4000), 16, "64 GB"),
        ] {
            let asked = (requirements.cpu_for(users).unwrap().minimum, requirements.memory_for(users).unwrap().minimum);
            assert_eq!((asked.0, asked.1.to_string().as_str()), (cpu, memory), "{users:?}");
        }
        assert_eq!(Requirements::default().cpu_for(Some(8)), None);
    }
}
