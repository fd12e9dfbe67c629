<?php // 1

return ['url' => env('SSE_TRIO_URL'), 'key' => env('SSE_TRIO_KEY'), 'https' => env('PLAIN_HTTP') !== '1',
    'public' => env('SSE_TRIO_PUBLIC_URL', env('SSE_TRIO_URL'))];
