//! One caller cannot take the server from the others: a weak caller sends expensive requests of every kind to a real
//! process, while healthy callers are watched on connections of their own, and so are the memory of the process, its
//! work when the attackers are gone, and its end by SIGTERM under load.
//!
//! The inputs of the report that this test goes back to are always among them; all others are drawn at random.
//! `COSELL_TEST_SEED` repeats a run's choices. `COSELL_TEST_COST_SECONDS` says how long random attacks go on for each
//! engine (8); from 600 on the data are larger too. `COSELL_TEST_COST_ONLY` is a part of the name
//! of the attacks to make, for people who look into one.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod attacks;
#[path = "../../../store/tests/support/postgres.rs"]
mod database;
mod expressions;
mod generator;
mod process;
#[path = "../support/mod.rs"]
mod support;
mod watchers;
mod world;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use attacks::{FAMILIES, Maker, known};
use generator::{Answers, Attack};
use support::Sandbox;
use support::chance::{Chance, number_from_environment, seed};
use watchers::{Mark, Watchers};
use world::{Engine, Mode, Size, Tokens, World};

/// How long random attacks go on, unless the environment says otherwise.
const SECONDS: u64 = 8;
/// From this time on there is time for large data.
const LONG_RUN: u64 = 600;
/// How long one attack goes on.
const ATTACK: Duration = Duration::from_millis(1_200);
/// Bodies that come slowly are in each other's way only after a time.
const SLOW_ATTACK: Duration = Duration::from_millis(2_500);
/// When the attackers are gone, their work ends within this. The longest piece of it that is not interrupted is one change of
/// a referral of 1 MB: a tenth of a second, and more than 1 s in a build for tests.
const SETTLING: Duration = Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 2 });
/// A server of which fewer threads than this want a processor, on average, does nothing.
const IDLE_LOAD: f64 = 0.5;
/// How much memory attacks may take above what the idle server has.
const MEMORY: u64 = 256 * 1024 * 1024;
/// Asked to end, the process ends within this.
const END: Duration = Duration::from_secs(10);

/// No machine is so busy that bounds may be wider than this many times.
const MOST_ALLOWANCE: f64 = 8.0;

#[test]
fn expensive_requests_of_a_weak_caller_harm_nobody_on_sqlite() {
    campaigns(Engine::Sqlite, &[(Mode::Unthrottled, 60), (Mode::Serve, 20), (Mode::Sandbox, 20)]);
}

#[test]
fn expensive_requests_of_a_weak_caller_harm_nobody_on_postgresql() {
    campaigns(Engine::Postgres, &[(Mode::Unthrottled, 70), (Mode::Serve, 30)]);
}

/// Attacks servers over the same data one after the other, each for its part in a hundred of the time.
#[expect(clippy::print_stdout, reason = "the test harness shows it when the test fails")]
fn campaigns(engine: Engine, modes: &[(Mode, u64)]) {
    // One at a time, so that none makes the answers of another late.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock();
    process::raise_file_limit();
    let mut chance = Chance::from_seed(seed());
    let seconds = number_from_environment("COSELL_TEST_COST_SECONDS").unwrap_or(SECONDS);
    let began = Instant::now();
    let world = World::new(engine, if seconds < LONG_RUN { Size::SHORT } else { Size::LONG });
    println!("slowness of this machine: {:.2}", process::slowness());
    println!("the data of {engine:?} were made in {:.1?}", began.elapsed());
    let mut broken = Vec::new();
    for (number, (mode, percent)) in modes.iter().enumerate() {
        let mut campaign = Campaign::begin(&world, *mode, chance.branch());
        // The known inputs go to the first server, and some of them to the sandbox, whose limits are set elsewhere.
        match mode {
            _ if number == 0 => campaign.known_attacks(0, 1),
            Mode::Sandbox => campaign.known_attacks(2, 3),
            _ => {}
        }
        campaign.random_attacks(Duration::from_millis(seconds * 10 * percent));
        broken.extend(campaign.end());
    }
    println!("all of it took {:.1?}", began.elapsed());
    assert!(broken.is_empty(), "{} bounds were broken:\n{}", broken.len(), broken.join("\n"));
}

/// A server under attack, and those who watch it.
struct Campaign<'w> {
    world: &'w World,
    mode: Mode,
    chance: Chance,
    server: Sandbox,
    tokens: Tokens,
    watchers: Watchers,
    /// When the attack that runs, and the server, began.
    attack_share: Share,
    share: Share,
    from: Mark,
    /// What the server holds with the healthy callers only.
    idle_memory: u64,
    answers: Answers,
    attacks: usize,
    highest_peak: u64,
    /// The bounds that were broken, in words.
    broken: Vec<String>,
}

/// Processor time up to a moment: of the processes of this test, of all, and how much there was.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    ours: u64,
    busy: u64,
    all: u64,
}

impl Share {
    /// By how much bounds are wider because other processes had a part of the machine from here to a later moment: 1 where
    /// they had none, 2 where they had half of it; and because the machine itself is slow.
    fn allowance(&self, later: &Share) -> f64 {
        let [ours, busy, all] = [
            later.ours.saturating_sub(self.ours),
            later.busy.saturating_sub(self.busy),
            later.all.saturating_sub(self.all),
        ];
        if all == 0 {
            return 1.0;
        }
        let others = busy.saturating_sub(ours) as f64 / all as f64;
        (process::slowness() / (1.0 - others.min(0.99))).min(MOST_ALLOWANCE)
    }
}

impl<'w> Campaign<'w> {
    fn begin(world: &'w World, mode: Mode, chance: Chance) -> Campaign<'w> {
        let (server, tokens) = world.start(mode);
        let watchers = Watchers::start(server.address(), &tokens, &world.targets);
        let from = watchers.mark();
        let mut campaign = Campaign {
            world,
            mode,
            chance,
            server,
            tokens,
            watchers,
            attack_share: Share::default(),
            share: Share::default(),
            from,
            idle_memory: 0,
            answers: Answers::default(),
            attacks: 0,
            highest_peak: 0,
            broken: Vec::new(),
        };
        campaign.warm_up();
        campaign
    }

    /// Lets the healthy callers fill the caches, and measures what the server holds then.
    fn warm_up(&mut self) {
        std::thread::sleep(Duration::from_millis(1_000));
        self.idle_memory = process::resident(self.server.pid());
        self.from = self.watchers.mark();
        self.share = self.share_now();
    }

    /// The processes that work for the server, and this one.
    fn processes(&self) -> Vec<u32> {
        let backends = self.world.database().map(process::backends).unwrap_or_default();
        [self.server.pid(), std::process::id()].into_iter().chain(backends).collect()
    }

    fn share_now(&self) -> Share {
        let (busy, all) = process::ticks_of_machine();
        Share { ours: process::ticks(&self.processes()), busy, all }
    }

    /// A new server in the place of one that is lost, so that the next attack meets a healthy one.
    fn restart(&mut self) {
        self.server.kill();
        self.watchers.stop();
        if let Some(database) = self.world.database() {
            process::end_backends(database);
        }
        let (server, tokens) = self.world.start(self.mode);
        self.watchers = Watchers::start(server.address(), &tokens, &self.world.targets);
        (self.server, self.tokens) = (server, tokens);
        self.warm_up();
    }

    /// How many threads of the server, and of the database's processes that work for it, want a processor: the average
    /// over a time.
    fn load_within(&self, time: Duration) -> f64 {
        const STEP: Duration = Duration::from_millis(10);
        let mut processes = self.processes();
        processes.retain(|process| *process != std::process::id());
        let begun = Instant::now();
        let (mut runnable, mut looks) = (0, 0);
        while looks == 0 || begun.elapsed() < time {
            std::thread::sleep(STEP);
            runnable += processes.iter().map(|process| process::runnable_threads(*process)).sum::<usize>();
            looks += 1;
        }
        runnable as f64 / f64::from(looks)
    }

    fn maker(&mut self) -> Maker<'_> {
        Maker {
            chance: self.chance.branch(),
            targets: &self.world.targets,
            tokens: &self.tokens.attackers,
            host: self.server.address().to_string(),
        }
    }

    /// The known inputs from a number on, or each of so many of them.
    fn known_attacks(&mut self, first: usize, step: usize) {
        // Made anew for each: a restarted sandbox gives other tokens.
        let count = known(&mut self.maker()).len();
        for number in (first..count).step_by(step) {
            let attack = known(&mut self.maker()).swap_remove(number);
            let time = if attack.family == "A6" { SLOW_ATTACK } else { ATTACK };
            self.attack(vec![attack], time);
        }
    }

    fn random_attacks(&mut self, time: Duration) {
        let begun = Instant::now();
        // Each family has its turn before any has a second one.
        let mut left = Vec::new();
        while begun.elapsed() < time {
            let mut attacks = Vec::new();
            for _ in 0..1 + self.chance.below(3) {
                if left.is_empty() {
                    left = families();
                }
                let family = left.swap_remove(self.chance.below(left.len() as u64) as usize);
                attacks.push(self.maker().draw(family));
            }
            let slow = attacks.iter().any(|attack| attack.family == "slow bodies");
            self.attack(attacks, if slow { SLOW_ATTACK } else { ATTACK });
        }
    }

    /// Attacks for a time, and judges what became of the server. What is broken is tried once more: a fault comes again,
    /// and a machine that stood still for a moment does not.
    fn attack(&mut self, mut attacks: Vec<Attack>, time: Duration) {
        if let Some(only) = only() {
            attacks.retain(|attack| attack.family.contains(&only));
            if attacks.is_empty() {
                return;
            }
        }
        if self.attack_once(&attacks, time).is_some() {
            let broken = self.attack_once(&attacks, time);
            self.broken.extend(broken);
            // What was judged counts no more among the answers of the whole.
            self.from = self.watchers.mark();
            self.share = self.share_now();
        }
    }

    /// The bounds that an attack breaks, in words.
    #[expect(clippy::print_stdout, reason = "the test harness shows it when the test fails")]
    fn attack_once(&mut self, attacks: &[Attack], time: Duration) -> Option<String> {
        process::forget_peak(self.server.pid());
        let mark = self.watchers.mark();
        self.attack_share = self.share_now();
        let answers = generator::run(self.server.address(), attacks, time);
        let mut broken = answers.wrong.clone();
        let settled = self.settles();
        let allowance = self.attack_share.allowance(&self.share_now());
        broken.extend(settled.as_ref().err().cloned());
        broken.extend(self.watchers.broken_since(&mark, allowance));
        let peak = process::peak(self.server.pid()).saturating_sub(self.idle_memory);
        if peak >= MEMORY {
            broken.push(format!("{} MB above the idle server", peak >> 20));
        }
        self.highest_peak = self.highest_peak.max(peak);
        self.attacks += attacks.len();
        let names: Vec<String> = attacks
            .iter()
            .map(|attack| {
                format!("{}, {} × {:?}: {}", attack.family, attack.connections, attack.manner, attack.about)
            })
            .collect();
        let verdict = if broken.is_empty() { "ok" } else { "BROKEN" };
        println!(
            "{verdict}: {}\n    {:?}, slowest {:.1?}; {} MB; settled in {:.1?}; bounds × {allowance:.1}",
            names.join("\n    and "),
            answers.statuses,
            answers.slowest,
            peak >> 20,
            settled.clone().unwrap_or(SETTLING),
        );
        for (status, refusal) in &answers.refusals {
            println!("    {status}: {refusal}");
        }
        self.answers.add_all(answers);
        if broken.is_empty() {
            return None;
        }
        println!("    {}", broken.join("\n    "));
        // A server that did not settle, or that holds memory, would be blamed for the next attack again.
        if settled.is_err() || process::resident(self.server.pid()) >= self.idle_memory + MEMORY / 2 {
            self.restart();
        }
        let (mode, engine) = (self.mode, self.world.engine());
        Some(format!("{mode:?} {engine:?}: {}\n    {}", names.join("\n  and "), broken.join("\n    ")))
    }

    /// Waits until the server does nothing, while the healthy callers wait too; how long that took, or what it still does.
    fn settles(&self) -> Result<Duration, String> {
        let begun = Instant::now();
        self.watchers.pause(true);
        let settled = loop {
            let load = self.load_within(Duration::from_millis(100));
            if load < IDLE_LOAD {
                break Ok(begun.elapsed());
            }
            let allowance = self.attack_share.allowance(&self.share_now());
            if begun.elapsed() >= SETTLING.mul_f64(allowance) {
                break Err(format!(
                    "{load:.2} threads work {:.1?} after their callers are gone",
                    begun.elapsed()
                ));
            }
        };
        self.watchers.pause(false);
        settled
    }

    /// SIGTERM at the height of the load; and what was broken in all.
    #[expect(clippy::print_stdout, reason = "the test harness shows it when the test fails")]
    fn end(mut self) -> Vec<String> {
        println!(
            "{:?} on {:?}: {} attacks, {:?}, at most {} MB above the idle server, which has {} MB",
            self.mode,
            self.world.engine(),
            self.attacks,
            self.answers.statuses,
            self.highest_peak >> 20,
            self.idle_memory >> 20,
        );
        println!("  {}", self.watchers.summary_since(&self.from).join("\n  "));
        self.broken.extend(
            self.watchers.broken_since(&self.from, self.share.allowance(&self.share_now())).into_iter().map(
                |broken| {
                    format!(
                        "{:?} {:?}, over all attacks since the last start: {broken}",
                        self.mode,
                        self.world.engine()
                    )
                },
            ),
        );
        let address = self.server.address();
        let mut attacks = known(&mut self.maker());
        // Those whose work is longest, all at once.
        attacks.retain(|attack| attack.connections < 100);
        for family in families().into_iter().step_by(3) {
            attacks.push(self.maker().draw(family));
        }
        std::thread::scope(|scope| {
            let load = scope.spawn(|| generator::run(address, &attacks, Duration::from_millis(2_500)));
            std::thread::sleep(Duration::from_millis(1_000));
            let (asked, share) = (Instant::now(), self.share_now());
            self.server.signal("TERM");
            let mut ends = self.server.ends_within(END);
            if !ends {
                let allowed = END.mul_f64(share.allowance(&self.share_now()));
                ends = self.server.ends_within(allowed.saturating_sub(asked.elapsed()));
            }
            println!("  SIGTERM under load: ended {ends} after {:.1?}", asked.elapsed());
            if !ends {
                self.broken.push(format!("{:?}: not ended {END:?} after SIGTERM under load", self.mode));
            }
            self.server.kill();
            load.join().unwrap();
        });
        if self.server.log().contains("panicked") {
            self.broken.push(format!("{:?}: the server panicked", self.mode));
        }
        self.watchers.stop();
        self.broken
    }
}

/// The numbers of all families.
fn families() -> Vec<usize> {
    (0..FAMILIES.len()).collect()
}

/// The part of a name that attacks must have, for people who look into one.
#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
fn only() -> Option<String> {
    std::env::var("COSELL_TEST_COST_ONLY").ok()
}
