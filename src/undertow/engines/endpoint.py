"""Answers from a chat endpoint that speaks OpenAI's protocol; whatever goes wrong is one error that names it."""

from __future__ import annotations

import importlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from undertow.data.row_faults import shown
from undertow.data.rows import Message
from undertow.errors import ConfigError, MissingExtraError, UndertowError

T = TypeVar("T")

_RESUMES = "finished work is kept, and the same command resumes"
_NO_KEY = "none"  # without any, the library would send the user's OPENAI_API_KEY to whatever server this is
_LONGEST_DETAIL = 160
_STATUS = {
    400: "refuses the request",
    401: "refuses the key",
    403: "refuses the key",
    404: "knows no such model or path",
    429: "takes no more requests at present",
}
_NEXT = {
    401: "check the key",
    403: "check the key",
    404: "check the model's name and that base_url ends as the server's documentation says (often /v1)",
    429: "wait, or ask with fewer workers",
}


@dataclass(frozen=True)
class Endpoint:
    """
    Where a model is asked over HTTP, and how.

    Raises:
        ConfigError: on construction, if a value is unusable; a user name in `base_url` is refused, not shown.
    """

    base_url: str
    """Address that `/chat/completions` is appended to, e.g. `http://127.0.0.1:8000/v1`."""

    model: str
    """Name of the model, as the server knows it."""

    api_key_variable: str | None = None
    """Environment variable that holds the key; None for a server that needs none. The key itself is stored nowhere."""

    timeout: float = 60.0
    """Seconds that the server may stay silent."""

    retries: int = 2
    """Further attempts after a timeout, a lost connection, HTTP 408, 409, 429 or 5xx; the library waits between them."""

    temperature: float = 0.0
    """0 is greedy."""

    def __post_init__(self) -> None:
        _refuse_address(self.base_url)
        if not self.model.strip():
            raise ConfigError(f"the endpoint '{self.base_url}' has no model; allowed: its name")
        for key, value, allowed, good in (
            ("timeout", self.timeout, "seconds above 0", 0 < self.timeout < float("inf")),
            ("retries", self.retries, "a number of at least 0", self.retries >= 0),
            ("temperature", self.temperature, "0 to 2", 0 <= self.temperature <= 2),
        ):
            if not good:
                raise ConfigError(f"{self.name}: {key} is {value}; allowed: {allowed}")

    @property
    def name(self) -> str:
        """Model and address, as errors and results show them."""
        return f"model '{self.model}' at '{self.base_url}'"

    def complete(self, conversations: Sequence[Sequence[Message]]) -> list[str]:
        """The function `complete` with its usual number of workers."""
        return complete(self, conversations)


@dataclass(frozen=True, slots=True)
class Draw:
    """How an answer is drawn; what is None is left to the server."""

    temperature: float
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, with what the server says of it."""

    text: str
    model: str | None = None
    """Who answered, as the server names it."""
    ended: str | None = None
    """Why it ended: `stop`, `length` or something else."""
    tokens: int | None = None
    """Of the answer, as the server counts."""
    prompt_tokens: int | None = None


def complete(
    endpoint: Endpoint, conversations: Sequence[Sequence[Message]], *, workers: int = 4
) -> list[str]:
    """
    One answer a conversation, in their order; at most `workers` are asked for at a time.

    Raises:
        MissingExtraError: the package `openai` is not installed.
        ConfigError: the key's environment variable is not set, or holds no key.
        UndertowError: one request failed for good; those that wait are then not sent.
    """
    draw = Draw(endpoint.temperature)
    with (
        _client(endpoint) as client,
        ThreadPoolExecutor(workers, thread_name_prefix="endpoint") as pool,
    ):
        return list(pool.map(lambda turns: client.ask(turns, draw).text, conversations))


def replies_as_given(
    endpoint: Endpoint,
    requests: Iterable[tuple[int, Sequence[Message], Draw]],
    *,
    workers: int,
) -> Iterator[tuple[int, Reply]]:
    """
    (number of the request, its reply) as the server gives them; at most `workers` are asked for at a time.

    After a request that failed for good no further one is sent, those that are on their way are waited for and given,
    and then the failure is raised: nothing that was answered is lost.

    Raises:
        MissingExtraError, ConfigError, UndertowError: as `complete`.
    """
    waiting = iter(requests)
    failure: UndertowError | None = None
    with _client(endpoint) as client:
        pool = ThreadPoolExecutor(workers, thread_name_prefix="endpoint")
        asked: dict[Future[Reply], int] = {}
        try:
            while True:
                more = () if failure else itertools.islice(waiting, workers - len(asked))
                asked |= {pool.submit(client.ask, turns, draw): i for i, turns, draw in more}
                if not asked:
                    break
                for future in wait(asked, return_when=FIRST_COMPLETED).done:
                    number = asked.pop(future)
                    try:
                        reply = future.result()
                    except UndertowError as error:
                        failure = failure or error
                    else:
                        yield number, reply
        finally:
            # Whoever stops listening does not wait for what is on its way.
            pool.shutdown(wait=False, cancel_futures=True)
    if failure:
        raise failure


def served_models(endpoint: Endpoint) -> list[str] | None:
    """
    Names of the models that the server lists; None if it keeps no list.

    Raises:
        MissingExtraError, ConfigError, UndertowError: as `complete`.
    """
    with _client(endpoint) as client:
        return client.models()


def prompt_log_likelihoods(
    endpoint: Endpoint, prompts: Sequence[Sequence[int]]
) -> list[list[float]]:
    """
    Log-likelihood in nats of each token of prompts that are token ids, by vLLM's `prompt_logprobs`; the first has none, nan.

    Raises:
        MissingExtraError, ConfigError, UndertowError: as `complete`; or the server has no such field.
    """
    with _client(endpoint) as client:
        return client.prompt_log_likelihoods(prompts)


@dataclass(frozen=True)
class _Client:
    """An open connection, with the words for what goes wrong on it."""

    endpoint: Endpoint
    key: str | None
    openai: Any
    connection: Any

    def ask(self, conversation: Sequence[Message], draw: Draw) -> Reply:
        """One answer."""
        turns = [{"role": turn.role, "content": turn.content} for turn in conversation]
        asked = {name: value for name, value in asdict(draw).items() if value is not None}
        # Raw, since the library would pass a body that is not its protocol on as if it were.
        create = self.connection.chat.completions.with_raw_response.create
        try:
            response = create(model=self.endpoint.model, messages=turns, **asked)
        except (self.openai.OpenAIError, UnicodeError) as error:
            raise self._failure(error) from error
        try:
            return _reply(response.content)
        except ValueError as error:
            raise _failure(self.endpoint, self.key, f"gave {error}") from error

    def prompt_log_likelihoods(self, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
        """Of each token of each prompt; nan for the first."""
        create = self.connection.completions.with_raw_response.create
        try:
            response = create(
                model=self.endpoint.model,
                prompt=[list(prompt) for prompt in prompts],
                max_tokens=1,
                temperature=0,
                extra_body={"prompt_logprobs": 0},
            )
        except (self.openai.OpenAIError, UnicodeError) as error:
            raise self._failure(error) from error
        try:
            choices = sorted(json.loads(response.content)["choices"], key=lambda one: one["index"])
            return [
                _of_prompt(prompt, choice["prompt_logprobs"])
                for prompt, choice in zip(prompts, choices, strict=True)
            ]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            gave = "gave no prompt_logprobs for the tokens that it was sent, a field of vLLM's"
            raise _failure(self.endpoint, self.key, gave) from error

    def models(self) -> list[str] | None:
        """What the server lists."""
        try:
            content = json.loads(self.connection.models.with_raw_response.list().content)
            return [str(entry["id"]) for entry in content["data"]]
        except self.openai.APIStatusError as error:
            if error.status_code in (404, 405, 501):
                return None
            raise self._failure(error) from error
        except (self.openai.OpenAIError, UnicodeError) as error:
            raise self._failure(error) from error
        except (ValueError, KeyError, TypeError, RecursionError):
            return None

    def _failure(self, error: Exception) -> UndertowError:
        happened, following = _what_happened(self.openai, error, self.endpoint)
        return _failure(self.endpoint, self.key, happened, following)


@contextmanager
def _client(endpoint: Endpoint) -> Iterator[_Client]:
    openai = _library()
    key = _key(endpoint)
    with openai.OpenAI(
        base_url=endpoint.base_url,
        api_key=key or _NO_KEY,
        timeout=endpoint.timeout,
        max_retries=endpoint.retries,
    ) as connection:
        yield _Client(endpoint, key, openai, connection)


def _library() -> Any:
    try:
        return importlib.import_module("openai")
    except ImportError as error:
        raise MissingExtraError("openai", "endpoint", purpose="asking a chat endpoint") from error


def _key(endpoint: Endpoint) -> str | None:
    variable = endpoint.api_key_variable
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(
            f"{endpoint.name} needs a key, and the environment variable '{variable}' is not set",
            hint=f"export {variable}=..., then give the same command again",
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"the environment variable '{variable}' holds no key; allowed: visible ASCII, no spaces"
        )
    return key


def _refuse_address(base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable, parts = False, urlsplit("")
    # Checked before anything that would show the address.
    if "@" in base_url or parts.query or parts.fragment:
        raise ConfigError(
            "the base_url of an endpoint holds a user name, a query or a fragment; allowed: http(s)://host/path",
            hint="put the key into an environment variable, and name that as api_key_variable",
        )
    if not usable or not base_url.isprintable() or " " in base_url:
        raise ConfigError(f"base_url {base_url!r} is no address; allowed: http(s)://host/path")


def _what_happened(openai: Any, error: Exception, endpoint: Endpoint) -> tuple[str, str]:
    if isinstance(error, openai.APITimeoutError):
        return f"gave no answer within {endpoint.timeout:g} s", "raise timeout, or ask for less"
    if isinstance(error, openai.APIConnectionError):
        return f"cannot be reached: {error.__cause__ or error}", "check that the server runs"
    if isinstance(error, openai.APIStatusError):
        status = int(error.status_code)
        said = error.body.get("message") if isinstance(error.body, dict) else error.body
        what = _STATUS.get(status, "failed" if status >= 500 else "refuses the request")
        return f"{what} (HTTP {status}): {said or 'no reason given'}", _NEXT.get(status, "")
    return f"could not be asked: {error}", ""


def _failure(
    endpoint: Endpoint, key: str | None, happened: str, following: str = ""
) -> UndertowError:
    # Servers quote the key they refuse; it must be gone before the text is cut.
    words = (happened.replace(key, "‹key›") if key else happened).split()
    line = shown(" ".join(words), longest=_LONGEST_DETAIL)
    hint = f"{following}; {_RESUMES}" if following else _RESUMES
    return UndertowError(f"{endpoint.name} {line}", hint=hint)


def _of_prompt(prompt: Sequence[int], given: Sequence[Any]) -> list[float]:
    """Each token's own entry; a server may add likelier tokens to it."""
    pairs = list(zip(prompt, given, strict=True))[1:]
    return [float("nan"), *(float(entry[str(token)]["logprob"]) for token, entry in pairs)]


def _reply(body: bytes) -> Reply:
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError) as error:
        start = body[: 100 * _LONGEST_DETAIL].decode("utf-8", "replace")
        raise ValueError(f"an answer that is not JSON: {start}") from error
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if not isinstance(choices, list) or not choices:
        raise ValueError("an answer without any choice")
    choice = choices[0] if isinstance(choices[0], dict) else {}
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, str):
        raise ValueError("an answer whose choice holds no text")
    usage = reply.get("usage") if isinstance(reply.get("usage"), dict) else {}
    return Reply(
        content,
        _of(str, reply.get("model")),
        _of(str, choice.get("finish_reason")),
        _of(int, usage.get("completion_tokens")),
        _of(int, usage.get("prompt_tokens")),
    )


def _of(kind: type[T], value: object) -> T | None:
    return value if isinstance(value, kind) else None
