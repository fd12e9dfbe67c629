<?php

// The application that the Laravel example is added to.

use App\Http\Middleware\SingleSession;
use Illuminate\Auth\GenericUser;
use Illuminate\Contracts\Auth\Authenticatable;
use Illuminate\Contracts\Auth\UserProvider;
use Illuminate\Support\Facades\Auth;
use Illuminate\Support\Facades\Route;

error_reporting(E_ALL & ~E_DEPRECATED);
require '/usr/share/php/Illuminate/autoload.php';
require '/usr/share/php/GuzzleHttp/autoload.php';
spl_autoload_register(function ($class) {
    $file = __DIR__.'/app/'.str_replace('\\', '/', substr($class, 4)).'.php';
    if (str_starts_with($class, 'App\\') && file_exists($file)) {
        require $file;
    }
});

class Users implements UserProvider
{
    const ALL = ['ada' => 'analytical engine', 'grace' => 'first compiler'];

    public function retrieveById($id) { return isset(self::ALL[$id]) ? new GenericUser(['id' => $id]) : null; }
    public function retrieveByToken($id, $token) { return null; }
    public function updateRememberToken(Authenticatable $user, $token) {}
    public function retrieveByCredentials(array $credentials) { return $this->retrieveById($credentials['username'] ?? ''); }
    public function validateCredentials(Authenticatable $user, array $credentials)
    {
        return self::ALL[$user->getAuthIdentifier()] === $credentials['password'];
    }
    public function rehashPasswordIfRequired(Authenticatable $user, array $credentials, bool $force = false) {}
}

class Kernel extends Illuminate\Foundation\Http\Kernel
{
    protected $bootstrappers = [
        Illuminate\Foundation\Bootstrap\LoadConfiguration::class,
        Illuminate\Foundation\Bootstrap\HandleExceptions::class,
        Illuminate\Foundation\Bootstrap\RegisterFacades::class,
        Illuminate\Foundation\Bootstrap\RegisterProviders::class,
        Illuminate\Foundation\Bootstrap\BootProviders::class,
    ];
    protected $middlewareGroups = ['web' => [
        Illuminate\Cookie\Middleware\EncryptCookies::class,
        Illuminate\Cookie\Middleware\AddQueuedCookiesToResponse::class,
        Illuminate\Session\Middleware\StartSession::class,
        Illuminate\Foundation\Http\Middleware\VerifyCsrfToken::class,
        Illuminate\Routing\Middleware\SubstituteBindings::class,
        SingleSession::class,
    ]];
}

$app = new Illuminate\Foundation\Application(__DIR__);
$app->singleton(Illuminate\Contracts\Http\Kernel::class, Kernel::class);
$app->singleton(Illuminate\Contracts\Console\Kernel::class, Illuminate\Foundation\Console\Kernel::class);
$app->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, Illuminate\Foundation\Exceptions\Handler::class);
$app->booted(function () {
    Auth::provider('array', fn () => new Users);
    Route::middleware('web')->group(function () {
        Route::get('/', fn () => view('home'))->middleware(Illuminate\Auth\Middleware\Authenticate::class);
        Route::get('/login', fn () => view('form'))->name('login');
        Route::post('/login', function () {
            if (! Auth::attempt(request()->only('username', 'password'))) {
                return response(view('form'), 401);
            }
            request()->session()->regenerate();
            SingleSession::logIn(request());

            return redirect('/');
        });
        Route::post('/logout', function () {
            SingleSession::logOut(request());
            Auth::logoutCurrentDevice();
            request()->session()->invalidate();

            return redirect('/login');
        });
    });
    Route::getRoutes()->refreshNameLookups();
});

return $app;
