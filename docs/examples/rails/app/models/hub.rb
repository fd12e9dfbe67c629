module Hub # 1: what asks the hub
  Away = Class.new(StandardError)

  def self.ask(path, question, seconds: 2) # the same question, until it is answered or the time is up
    until_ = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
    while (left = until_ - Process.clock_gettime(Process::CLOCK_MONOTONIC)) > 0
      begin
        answer = HTTP.auth("Bearer #{ENV.fetch("SSE_TRIO_KEY")}").timeout(left).post(ENV.fetch("SSE_TRIO_URL") + path, json: question)
        return answer.parse if answer.code == 200
        raise "the hub answers #{path} with #{answer.code}" unless answer.code >= 500 || [408, 429].include?(answer.code)
      rescue HTTP::Error, JSON::ParserError # no answer, or none of a hub
      end
      sleep 0.1
    end
    raise Away
  end
end
