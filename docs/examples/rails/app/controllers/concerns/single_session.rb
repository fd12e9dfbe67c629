module SingleSession
  extend ActiveSupport::Concern
  COOKIE, HTTPS = ENV["PLAIN_HTTP"] == "1" ? ["sse_trio", false] : ["__Host-sse_trio", true]

  included do
    helper_method :current_login, :current_user_id # 2
    rescue_from(Hub::Away) { response.set_header("Retry-After", "1"); render plain: "Try again.", status: 503 } # 6
  end

  def current_login = @current_login ||= # 2
    cookies[COOKIE] ? Hub.ask("/check", {token: cookies[COOKIE], renew: true}) : {"active" => false}

  def current_user_id = (current_login["room"] if current_login["active"]) # 2

  def log_in(id) # 3
    before, name = current_login, SecureRandom.urlsafe_base64(24)
    same = before["active"] && before["room"] == id.to_s
    begin
      login = Hub.ask("/notify", {room: id, sender: name, id: name, end: same ? [before["session"]] : []}, seconds: 6)
    rescue StandardError # it may have had its effect
      EndLoginJob.perform_later({"room" => id, "session" => name})
      raise
    end
    EndLoginJob.perform_now({"token" => cookies[COOKIE]}) if before["active"] && !same # another user was logged in
    stands = Hub.ask("/check", {token: login["token"]})["active"] rescue true
    return request.session_options[:skip] = true unless stands # a second click has ended it, and sets the cookies
    reset_session
    cookies[COOKIE] = {value: login["token"], httponly: true, same_site: :lax, secure: HTTPS}
  end

  def log_out # 5
    EndLoginJob.perform_now({"token" => cookies[COOKIE]}) if cookies[COOKIE]
  rescue StandardError => error # the cookie is deleted all the same
    logger.error(error)
  ensure
    cookies.delete(COOKIE, secure: HTTPS)
    reset_session
  end
end
