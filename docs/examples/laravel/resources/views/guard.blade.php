<script type="module" src="{{ config('sse_trio.public') }}/client.js"></script>{{-- 4 --}}
<session-guard src="{{ config('sse_trio.public') }}/ws" ticket="{{ request()->attributes->get('login')['ticket'] }}" share notice redirect="/"></session-guard>
