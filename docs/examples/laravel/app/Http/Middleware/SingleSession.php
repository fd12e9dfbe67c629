<?php // A number is a step of README.md.

namespace App\Http\Middleware;

use GuzzleHttp\Exception\TransferException;
use Illuminate\Auth\AuthenticationException;
use Illuminate\Http\Client\ConnectionException;
use Illuminate\Support\{Arr, Str};
use Illuminate\Support\Facades\{Auth, Cookie, Http};
use Symfony\Component\HttpKernel\Exception\ServiceUnavailableHttpException as HubAway; // 6

class SingleSession {
    public static function ask(string $path, array $question, float $seconds = 2): array { // 1: until it is answered or the time is up
        for ($until = hrtime(true) + $seconds * 1e9; ($left = ($until - hrtime(true)) / 1e9) > 0; usleep(100_000)) {
            try {
                $options = ['timeout' => $left, 'connect_timeout' => $left, 'allow_redirects' => false];
                $answer = Http::withToken(config('sse_trio.key'))->withOptions($options)->post(config('sse_trio.url').$path, $question);
                if ($answer->status() === 200 && $answer->json()) return $answer->json();
                if ($answer->clientError() && ! in_array($answer->status(), [408, 429])) throw new \RuntimeException("the hub answers {$path} with {$answer->status()}");
            } catch (ConnectionException|TransferException) { } // no answer
        }
        throw new HubAway(1, 'Try again.');
    }

    public static function end(array $login, int $n = 0): void { // 1: if the hub is away, the queue goes on for an hour
        try {
            $found = isset($login['token']) ? self::ask('/check', $login) : $login; // whose login it is, the hub knows
            if ($found['active'] ?? true) self::ask('/release', Arr::only($found, ['room', 'session', 'epoch']));
        } catch (HubAway) {
            $secret = encrypt($login);
            if ($n < 66) dispatch(fn () => SingleSession::end(decrypt($secret), $n + 1))->delay(min(2 ** $n, 60));
        }
    }

    public static function cookie(): string { return config('sse_trio.https') ? '__Host-sse_trio' : 'sse_trio'; } // 1

    public function handle($request, \Closure $next) { // 2
        $token = $request->is('logout') ? null : $request->cookie(self::cookie());
        $login = $token ? self::ask('/check', ['token' => $token, 'renew' => true]) : ['active' => false];
        $request->attributes->set('login', $login);
        $isRight = $login['active'] && $login['room'] === (string) Auth::id();
        if (Auth::guest() || $isRight || $request->is('logout')) return $next($request);
        Auth::logoutCurrentDevice();
        throw new AuthenticationException('This login has ended.', [], url('/login'));
    }

    public static function logIn($request): void { // 3
        [$before, $room, $session] = [$request->attributes->get('login'), (string) Auth::id(), Str::random(40)];
        $isSame = $before['active'] && $before['room'] === $room;
        $wanted = ['room' => $room, 'sender' => $session, 'id' => $session, 'end' => $isSame ? [$before['session']] : []];
        try {
            $login = self::ask('/notify', $wanted, 6);
        } catch (\Throwable $failed) { // it may have had its effect
            dispatch(fn () => SingleSession::end(['room' => $room, 'session' => $session]));
            throw $failed;
        }
        if ($before['active'] && ! $isSame) self::end(['token' => $request->cookie(self::cookie())]); // another user was logged in
        $stands = rescue(fn () => self::ask('/check', ['token' => $login['token']])['active'], true); // a second click may have ended it
        if ($stands) Cookie::queue(self::cookie(), $login['token'], 0, '/', null, config('sse_trio.https'), true, false, 'lax');
    }

    public static function logOut($request): void { // 5
        if ($token = $request->cookie(self::cookie())) rescue(fn () => self::end(['token' => $token])); // reported, and the cookie goes
        Cookie::queue(self::cookie(), '', -1, '/', null, config('sse_trio.https'), true, false, 'lax');
    }
}
