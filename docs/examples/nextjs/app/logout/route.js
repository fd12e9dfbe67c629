import {logOut, to} from "../../sse_trio.js";

export const POST = () => logOut().then(() => to("/login")); // 5
