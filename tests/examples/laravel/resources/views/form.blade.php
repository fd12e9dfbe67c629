<!doctype html><form method="post">@csrf<input name="username"><input name="password" type="password"><button>Log in</button></form>
