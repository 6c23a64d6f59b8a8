"""Every access pattern of the leaderboards, and how fresh it is at another client."""

from __future__ import annotations

from frame.check import World
from leaderboards import system

BOARDS = (system.top_by_whole, system.top_by_buckets, system.top_by_tiers)


def a_better_score_is_stored_and_a_worse_one_is_not(world: World) -> None:
    def read() -> int | None:
        return system.best_of(world.there, "chess", "ada")

    assert world.warm(read) is None
    assert system.report(world.here, "chess", "ada", 500)
    assert read() == 500
    assert not system.report(world.here, "chess", "ada", 400)
    assert read() == 500
    assert system.report(world.here, "chess", "ada", 600)
    assert read() == 600


def the_three_boards_agree_and_show_a_new_best_at_once(world: World) -> None:
    scores = {f"player-{number}": world.random.randrange(9999) for number in range(60)}
    for player, score in scores.items():
        system.report(world.here, "go", player, score)
    best = sorted(((score, player) for player, score in scores.items()), key=lambda entry: (-entry[0], entry[1]))[:10]
    for board in BOARDS:
        assert world.warm(lambda: board(world.there, "go")) == best
    system.report(world.here, "go", "player-0", 99999)
    for board in BOARDS:
        assert world.misses(lambda: board(world.there, "go"))[0] == (99999, "player-0")


def a_low_score_invalidates_the_whole_board_a_bucket_and_no_high_tier(world: World) -> None:
    for number in range(40):
        system.report(world.here, "dice", f"player-{number}", 9000 + number)
    system.report(world.here, "dice", "low", 10)
    for board in BOARDS:
        world.warm(lambda: board(world.there, "dice"))
    system.report(world.here, "dice", "low", 20)
    world.misses(lambda: system.top_by_whole(world.there, "dice"))
    if world.mode == "cached":
        # In its first minute a node before a remote upstream invalidates indexes as a whole.
        assert world.sources(lambda: system.top_by_buckets(world.there, "dice")).count("hit") == system.BUCKETS - 1
        world.hits(lambda: system.top_by_tiers(world.there, "dice"))


def a_player_who_rises_by_a_tier_leaves_the_old_one(world: World) -> None:
    system.report(world.here, "darts", "ada", 7500)
    system.report(world.here, "darts", "bob", 7400)
    assert world.warm(lambda: system.top_by_tiers(world.there, "darts")) == [(7500, "ada"), (7400, "bob")]
    system.report(world.here, "darts", "bob", 8100)
    assert world.misses(lambda: system.top_by_tiers(world.there, "darts")) == [(8100, "bob"), (7500, "ada")]


def a_score_in_one_game_leaves_the_boards_of_others(world: World) -> None:
    system.report(world.here, "poker", "ada", 100)
    system.report(world.here, "bridge", "ada", 200)
    for board in BOARDS:
        world.warm(lambda: board(world.there, "bridge"))
    system.report(world.here, "poker", "ada", 300)
    for board in BOARDS:
        if world.mode == "cached":
            world.hits(lambda: board(world.there, "bridge"))
        assert board(world.there, "bridge") == [(200, "ada")]


def a_score_that_is_not_the_best_writes_nothing_and_leaves_every_board(world: World) -> None:
    system.report(world.here, "rummy", "ada", 100)
    for board in BOARDS:
        world.warm(lambda: board(world.there, "rummy"))
    world.warm(lambda: system.best_of(world.here, "rummy", "ada"))
    assert world.hits(lambda: system.report(world.here, "rummy", "ada", 50)) is False
    for board in BOARDS:
        world.hits(lambda: board(world.there, "rummy"))


def of_two_reports_at_once_the_better_one_stays(world: World) -> None:
    for turn in range(10):
        low, high = 100 * turn + 1, 100 * turn + 2
        world.at_once(
            lambda: system.report(world.here, "whist", "ada", low),
            lambda: system.report(world.there, "whist", "ada", high),
        )
        assert [system.best_of(db, "whist", "ada") for db in (world.here, world.there)] == [high, high]


def a_rank_counts_those_with_more_points(world: World) -> None:
    for player, score in (("ada", 30), ("bob", 20), ("cyd", 10)):
        system.report(world.here, "quiz", player, score)
    assert world.warm(lambda: system.rank(world.there, "quiz", "cyd")) == 3
    system.report(world.here, "quiz", "cyd", 25)
    assert system.rank(world.there, "quiz", "cyd") == 2
    assert system.rank(world.there, "quiz", "nobody") is None


def the_games_of_a_player_are_one_page(world: World) -> None:
    system.report(world.here, "go", "zoe", 1)
    assert world.warm(lambda: system.games_of(world.there, "zoe")) == {"go": 1}
    system.report(world.here, "chess", "zoe", 2)
    assert world.misses(lambda: system.games_of(world.there, "zoe")) == {"chess": 2, "go": 1}
    system.report(world.here, "chess", "yan", 2)
    world.hits(lambda: system.games_of(world.there, "zoe"))
