from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from dispatcher.core.errors import SettingsError
from dispatcher.core.limits import Limits
from dispatcher.core.retry import Schedule
from dispatcher.settings import SETTINGS, Parsed, Secret, Setting, Settings, parse_settings
from dispatcher.settings.parse import ENV_OF_OTHERS


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def from_env(**values: str) -> Parsed:
    return parse_settings(environ={f"DISPATCHER_{name}": value for name, value in values.items()})


def from_toml(text: str, **flags: object) -> Settings:
    Path("dispatcher.toml").write_text(text, "utf-8")
    return parse_settings(environ={}, flags=flags).settings


# --- Where they come from ----------------------------------------------------------------------


def test_without_anything_the_defaults_hold() -> None:
    parsed = parse_settings(environ={"PATH": "/bin"})
    assert parsed == Parsed(Settings(), (), {})
    assert parsed.settings.limits == Limits()


def test_each_source_wins_over_the_one_before_it() -> None:
    Path("dispatcher.toml").write_text(
        "port = 1\ngrace_seconds = 1\nlease_seconds = 11\nlimit_page_items = 50", "utf-8"
    )
    parsed = parse_settings(
        environ={"DISPATCHER_PORT": "2", "DISPATCHER_GRACE_SECONDS": "2"}, flags={"port": 3}
    )
    assert parsed.settings.port == 3
    assert parsed.settings.grace_seconds == 2
    assert parsed.settings.lease_seconds == 11
    assert parsed.settings.limits == Limits(page_items=50)
    assert parsed.sources == {
        "port": "--port",
        "grace_seconds": "DISPATCHER_GRACE_SECONDS",
        "lease_seconds": "dispatcher.toml",
        "limit_page_items": "dispatcher.toml",
    }


def test_flags_that_were_not_given_leave_what_stands() -> None:
    settings = from_toml(
        "port = 1\nallow_callbacks = ['10.0.0.0/8']", port=None, allow_callbacks=()
    )
    assert settings.port == 1
    assert settings.allow_callbacks == ("10.0.0.0/8",)


def test_a_false_flag_wins_over_the_file() -> None:
    assert from_toml("dev = true", dev=False).dev is False


def test_config_names_another_file_and_so_does_the_environment(tmp_path: Path) -> None:
    named, other = tmp_path / "a.toml", tmp_path / "b.toml"
    named.write_text("port = 1")
    other.write_text("port = 2")
    environ = {"DISPATCHER_CONFIG": str(other)}
    assert parse_settings(environ=environ).settings.port == 2
    assert parse_settings(environ=environ, config=named).settings.port == 1


def test_a_file_that_was_named_or_is_linked_must_be_there() -> None:
    with pytest.raises(SettingsError, match=r"gone\.toml: can't be read: No such file"):
        parse_settings(environ={}, config=Path("gone.toml"))
    Path("dispatcher.toml").symlink_to("not-mounted/it")  # which left all at its defaults
    with pytest.raises(SettingsError, match=r"dispatcher\.toml: can't be read: No such file"):
        parse_settings(environ={})


@pytest.mark.parametrize("content", [b"port = ", b"\xff\xfe", b"port 1"])
def test_a_file_that_is_no_toml_is_named(content: bytes) -> None:
    Path("dispatcher.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"dispatcher\.toml: is not TOML"):
        parse_settings(environ={})


# --- Unknown names -----------------------------------------------------------------------------


def test_an_unknown_key_in_the_file_names_itself_and_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"dispatcher\.toml.*'prot'; did you mean port\?"):
        from_toml("prot = 1")


def test_an_unknown_key_far_from_all_leads_to_the_reference() -> None:
    with pytest.raises(SettingsError, match=r"'zzz'; docs/reference/settings\.md lists them"):
        from_toml("zzz = 1")


def test_a_table_in_the_file_is_an_unknown_key() -> None:
    with pytest.raises(SettingsError, match=r"no setting 'limits'"):
        from_toml("[limits]\nbody_bytes = 1")


def test_a_type_in_the_file_is_no_setting() -> None:
    with pytest.raises(SettingsError, match=r"the type 'media\.probe'.*`command`"):
        from_toml('[types."media.probe"]\nrunner = "command"')


def test_an_unknown_flag_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"--publik-url.*did you mean public_url\?"):
        parse_settings(environ={}, flags={"publik_url": "https://x"})


def test_an_unknown_name_in_the_environment_is_a_warning() -> None:
    parsed = from_env(PROT="1", SERVICE_HOST="10.0.0.1")
    assert parsed.settings == Settings()
    assert "DISPATCHER_PROT in the environment is no setting; did you mean DISPATCHER_PORT?" in (
        parsed.warnings
    )
    assert len(parsed.warnings) == 2


def test_names_of_others_are_no_reason_to_warn() -> None:
    assert parse_settings(environ=dict.fromkeys(ENV_OF_OTHERS - {"DISPATCHER_CONFIG"}, "x")) == (
        Parsed(Settings(), (), {})
    )


def test_the_port_that_kubernetes_sets_for_a_service_of_our_name_is_left_out() -> None:
    # Its "docker links" variables: DISPATCHER_PORT=tcp://10.0.0.1:8080 for a service `dispatcher`.
    parsed = from_env(PORT="tcp://10.0.0.1:8080")
    assert parsed.settings.port == 8080
    assert "Kubernetes" in parsed.warnings[0]


def test_an_empty_value_in_the_environment_counts_as_unset() -> None:
    parsed = from_env(PORT="", STORE=" ", SECRET_KEY="")
    assert parsed == Parsed(Settings(), (), {})


# --- Values ------------------------------------------------------------------------------------


def test_every_setting_can_be_set_in_the_environment() -> None:
    # Each to a value other than the default that its type and bounds allow.
    given = {s.env.removeprefix("DISPATCHER_"): other_value(s) for s in SETTINGS}
    given |= {"ROLE": "all", "PROCESSES": "1", "HOST": "127.0.0.2"}
    parsed = from_env(**given)
    assert parsed.warnings == ()
    assert set(parsed.sources) == {s.name for s in SETTINGS}
    changed = {s.name for s in SETTINGS if value_of(parsed.settings, s.name) != s.default}
    assert changed == {s.name for s in SETTINGS} - {"role", "processes"}


def other_value(setting: Setting) -> str:
    special = {
        "allow_callbacks": "http://receiver:9000, 10.0.0.0/8",
        "schedule": "0, 0.5 7",
        "store": "sqlite:////data/jobs.db",
        "secret_key": "dsk_x",
        "public_url": "https://jobs.example.com",
        "dev": "true",
        "metrics_open": "false",
        "otel": "true",
        "sender": "aiohttp",
        "log_level": "debug",
        "log_format": "text",
        "breaker_rate": "0.25",
    }
    if setting.name in special:
        return special[setting.name]
    if setting.default is None:
        return "7"
    assert isinstance(setting.default, int | float | str)
    if isinstance(setting.default, str):
        return setting.default
    return f"{setting.default + (-1 if setting.name.startswith('limit_') else 1)}"


def value_of(settings: Settings, name: str) -> object:
    if name.startswith("limit_"):
        return getattr(settings.limits, name.removeprefix("limit_"))
    return getattr(settings, name)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PORT", "x", "expected `int`"),
        ("PORT", "65536", "<= 65535"),
        ("PORT", "-1", ">= 0"),
        ("PORT", "80.5", "expected `int`"),
        ("DEV", "yes", "DISPATCHER_DEV: dev is true or false, not 'yes'"),
        ("ROLE", "boss", "one of all, api, jobs, delivery, not 'boss'"),
        ("LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("GRACE_SECONDS", "nan", ">= 0"),
        ("LEASE_SECONDS", "inf", "3600"),
        ("LEASE_SECONDS", "0", ">= 3"),
        ("SCHEDULE", "0, soon", "a list of seconds such as 0, 5, 300"),
        ("SCHEDULE", "-1", "a list of seconds"),
        ("SCHEDULE", "604801", "a list of seconds"),
        ("SCHEDULE", ",", "a list of seconds"),
        ("LIMIT_BODY_BYTES", "0", ">= 1"),
        ("LIMIT_DEFAULT_PRIORITY", "10", "<= 9"),
        ("LIMIT_SCHEDULE_ENTRIES", "51", "<= 50"),
    ],
)
def test_a_value_that_does_not_fit_names_where_it_stands(name: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        from_env(**{name: value})
    assert str(caught.value).startswith(f"DISPATCHER_{name}: {name.lower()} ")
    assert says in str(caught.value)


def test_every_number_is_bounded_so_that_none_is_infinite_or_nan() -> None:
    numbers = [setting for setting in SETTINGS if get_args(setting.type)[0] in {int, float}]
    assert len(numbers) > 40
    for setting in numbers:
        bounds = get_args(setting.type)[1]
        assert None not in {bounds.ge, bounds.le}, setting.name


def test_the_file_is_typed() -> None:
    with pytest.raises(SettingsError, match=r"dispatcher\.toml: port can't be '80'"):
        from_toml("port = '80'")
    with pytest.raises(SettingsError, match=r"dispatcher\.toml: dev is true or false, not 'yes'"):
        from_toml("dev = 'yes'")
    with pytest.raises(SettingsError, match=r"allow_callbacks can't be 'http://a:9000'"):
        from_toml("allow_callbacks = 'http://a:9000'")


@pytest.mark.parametrize("value", ["0,5.5 , 300", "0 5.5 300"])
def test_a_schedule_from_the_environment(value: str) -> None:
    assert from_env(SCHEDULE=value).settings.schedule == Schedule((0, 5.5, 300))


def test_spaces_around_a_value_in_the_environment_are_no_part_of_it() -> None:
    settings = from_env(PORT=" 81\n", ROLE=" all", DEV="true ").settings
    assert (settings.port, settings.role, settings.dev) == (81, "all", True)


def test_a_schedule_from_the_file() -> None:
    assert from_toml("schedule = [0, 5.5]").schedule == Schedule((0, 5.5))


# --- The store ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_postgresql_needs_a_key_and_its_password_is_not_shown(scheme: str) -> None:
    url = f"{scheme}://user:hunter2@db/jobs?sslmode=require"
    with pytest.raises(SettingsError, match="secret_key must be set on PostgreSQL") as caught:
        from_env(STORE=url)
    assert "hunter2" not in str(caught.value)
    settings = from_env(STORE=url, SECRET_KEY="dsk_x").settings
    assert settings.store_shown == "postgresql://db/jobs"
    assert not settings.on_sqlite
    assert Settings(store=url, dev=True).secret_key is None


def test_on_postgresql_there_may_be_many_processes_and_roles() -> None:
    url = "postgresql://host/name"
    made = Settings(store=url, secret_key=Secret("dsk_x"), role="jobs", processes=4)
    assert (made.role, made.processes) == ("jobs", 4)


def test_on_sqlite_one_process_does_all() -> None:
    with pytest.raises(SettingsError, match="processes must be 1 on SQLite"):
        Settings(processes=2)
    with pytest.raises(SettingsError, match="role 'api' is not for SQLite"):
        Settings(role="api")


# --- Settings that contradict each other -------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_dev_serves_loopback(host: str) -> None:
    assert Settings(dev=True, host=host).policy.dev


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "jobs.example.com", ""])
def test_dev_serves_nothing_else(host: str) -> None:
    with pytest.raises(SettingsError, match=r"dev serves loopback only.*callers create"):
        Settings(dev=True, host=host)
    assert Settings(host=host).host == host


@pytest.mark.parametrize(
    "url",
    [
        "jobs.example.com",
        "ftp://jobs.example.com",
        "https://",
        "https://user@jobs.example.com",
        "https://jobs.example.com?x=1",
        "https://jobs.example.com/#x",
        "https://jobs.example.com:99999",
        "https://jobs.example.com:0",
        "https://jobs .example.com",
        "https://j\u00f6bs.example.com",
        "https://[::1",
    ],
)
def test_a_public_url_must_be_one_that_links_can_begin_with(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^public_url must be"):
        Settings(public_url=url)


def test_links_begin_with_the_public_url_or_with_where_it_listens() -> None:
    assert Settings(public_url="https://x.example/jobs/").links_base() == "https://x.example/jobs"
    assert Settings(public_url="http://x.example:81").links_base() == "http://x.example:81"
    assert Settings(port=0).links_base(4711) == "http://127.0.0.1:4711"
    assert Settings(host="::1").links_base() == "http://[::1]:8080"


def test_connecting_is_a_part_of_the_attempt() -> None:
    with pytest.raises(SettingsError, match="connect_timeout_seconds is a part of"):
        Settings(connect_timeout_seconds=6, delivery_timeout_seconds=5)
    assert Settings(connect_timeout_seconds=5, delivery_timeout_seconds=5)


def test_a_breaker_s_first_time_is_no_longer_than_its_longest() -> None:
    with pytest.raises(SettingsError, match="breaker_first_seconds can't be more than"):
        Settings(breaker_first_seconds=6, breaker_max_seconds=5)
    assert Settings(breaker_first_seconds=5, breaker_max_seconds=5)


def test_callbacks_may_be_allowed_only_in_forms_that_mean_something() -> None:
    with pytest.raises(SettingsError, match="neither an origin"):
        Settings(allow_callbacks=("receiver:9000",))


def test_a_default_is_within_its_limit() -> None:
    with pytest.raises(SettingsError, match="limit_default_page_items can't be more than"):
        from_env(LIMIT_PAGE_ITEMS="19")
    assert from_env(LIMIT_PAGE_ITEMS="20").settings.limits.page_items == 20


# --- Secrets -----------------------------------------------------------------------------------


def test_the_secret_key_never_shows() -> None:
    text = "dsk_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    parsed = from_env(SECRET_KEY=text)
    key = parsed.settings.secret_key
    assert isinstance(key, Secret)
    assert key.reveal() == text
    shown = [repr(parsed), str(key), f"{key}", repr(msgspec.structs.asdict(parsed.settings))]
    assert not any("aaaa" in each for each in shown)
    with pytest.raises(TypeError):
        msgspec.json.encode(parsed.settings)


def test_a_secret_key_of_the_wrong_type_does_not_show_either() -> None:
    with pytest.raises(SettingsError, match="secret_key must be a text") as caught:
        from_toml("secret_key = [4711]")
    assert "4711" not in str(caught.value)


def test_dev_has_no_rates_and_quotas() -> None:
    given = {"LIMIT_SUBMISSIONS": "1", "LIMIT_JOBS_WAITING": "2", "LIMIT_BYTES_WAITING": "3"}
    given |= {"LIMIT_QUEUE_JOBS": "4", "LIMIT_BODY_BYTES": "5"}
    served = from_env(**given).settings
    assert served.limits_in_force == served.limits
    assert served.limits.of_a_caller.jobs_waiting == 2
    dev = from_env(DEV="true", **given).settings.limits_in_force
    assert (dev.submissions, dev.jobs_waiting, dev.bytes_waiting, dev.queue_jobs) == (None,) * 4
    assert dev.body_bytes == 5
