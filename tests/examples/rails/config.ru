# The application that the Rails example is added to: `app/` beside this file.

require "action_controller/railtie"
require "active_job/railtie"
require "http"

class ApplicationJob < ActiveJob::Base
end

class Application < Rails::Application
  config.root = __dir__
  config.load_defaults 6.1
  config.eager_load = true
  config.secret_key_base = ENV.fetch("SECRET_KEY")
  config.logger = Logger.new($stdout)
  config.active_job.queue_adapter = :async
  config.active_job.logger = config.logger
  config.hosts.clear
  routes.append do
    root "pages#home"
    get "login", to: "pages#form"
    post "login", to: "pages#create"
    post "logout", to: "pages#destroy"
  end
end

class PagesController < ActionController::Base
  USERS = {"ada" => "analytical engine", "grace" => "first compiler"}
  FORM = <<~HTML
    <form method="post"><%= token_tag %><input name="username"><input name="password" type="password"><button>Log in</button></form>
  HTML
  HOME = <<~HTML
    <%= render "guard" %><h1>Hello <%= current_user_id %></h1>
    <form method="post" action="/logout" onsubmit="document.querySelector('session-guard').remove()">
    <%= token_tag %><button>Log out</button></form>
  HTML

  def self.controller_path = "application"

  def home
    current_user_id ? render(inline: HOME) : redirect_to("/login")
  end

  def form
    render inline: FORM
  end

  def create
    return render(inline: FORM, status: 401) unless USERS[params[:username]] == params[:password]
    log_in(params[:username])
    redirect_to "/"
  end

  def destroy
    log_out
    redirect_to "/login"
  end
end

Application.initialize!
PagesController.include(SingleSession)
run Application
