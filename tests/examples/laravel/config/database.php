<?php return ['default' => 'sqlite', 'connections' => ['sqlite' => ['driver' => 'sqlite', 'database' => dirname(__DIR__).'/app.db', 'prefix' => '']], 'migrations' => 'migrations'];
