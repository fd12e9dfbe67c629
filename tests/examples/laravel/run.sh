mkdir -p bootstrap/cache storage/logs storage/framework/cache storage/framework/sessions storage/framework/views
touch app.db
php artisan jobs
php artisan queue:work --sleep=1 &
PHP_CLI_SERVER_WORKERS=4 exec php -S "127.0.0.1:$1" index.php
