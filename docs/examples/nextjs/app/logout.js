"use client";

const leave = () => document.querySelector("session-guard").remove(); // 5

export const LogOut = () => <form method="post" action="/logout" onSubmit={leave}><button>Log out</button></form>; // 5
