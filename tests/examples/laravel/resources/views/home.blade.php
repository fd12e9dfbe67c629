<!doctype html>@include('guard')<h1>Hello {{ auth()->id() }}</h1>
<form method="post" action="/logout" onsubmit="document.querySelector('session-guard').remove()">@csrf<button>Log out</button></form>
