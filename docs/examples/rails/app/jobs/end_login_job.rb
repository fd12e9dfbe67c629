class EndLoginJob < ApplicationJob # 1: again and again for an hour, while the hub is away
  self.log_arguments = false # a token is a secret
  retry_on Hub::Away, attempts: 66, wait: ->(n) { [2**n, 60].min.seconds }

  def perform(login)
    login = Hub.ask("/check", login) if login.key?("token") # whose login it is, the hub knows
    Hub.ask("/release", login.slice("room", "session", "epoch")) unless login["active"] == false
  end
end
