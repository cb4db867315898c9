-- Written by metahub-node setup slurm. cli_filter.lua calls this with the options of each job.
--
-- Where a job names an image of a MetaHub and has no constraint, it gets the one of the nodes that
-- can run the image, if not all can. METAHUB_IMAGE goes with the job, so that each node finds its
-- own image. Nothing else is changed, and what goes wrong leaves the job as it is.

local program = '@PROGRAM@'
local registries = { @REGISTRIES@ }
-- Seconds that a registry may delay a job.
local limit = 2
-- Whether this Slurm has the option --container.
local has_container = @CONTAINER@

-- What the program runs may be a command of Slurm, which comes here again.
local guard = 'METAHUB_CLI_FILTER'

-- An option's value. One that this command does not have says so in the place of a value.
local function value(options, name)
  local found = options[name]
  if type(found) == 'string' and found ~= '' and found ~= 'invalid-context' then
    return found
  end
end

local function names_a_registry(word)
  for _, host in ipairs(registries) do
    if word:find(host, 1, true) then
      return true
    end
  end
  return false
end

-- What may name the image, most explicit first.
local function words_of(options)
  local words = {}
  local function add(word)
    if type(word) == 'string' and #word <= 1024 and #words < 16 and names_a_registry(word) then
      words[#words + 1] = word
    end
  end
  add(os.getenv('METAHUB_IMAGE'))
  -- Only where pyxis is loaded.
  pcall(function() add(options.spank.pyxis['container-image']) end)
  if has_container then
    add(value(options, 'container'))
  end
  if type(options.argv) == 'table' then
    for _, word in ipairs(options.argv) do
      add(word)
    end
  end
  return words
end

local function quoted(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function answer_for(words)
  local command = guard .. '=1 timeout -s KILL ' .. limit .. ' ' .. quoted(program) .. ' slurm --'
  for _, word in ipairs(words) do
    command = command .. ' ' .. quoted(word)
  end
  -- The shell's own words for what was killed are of no use to anybody.
  local pipe = io.popen('{ ' .. command .. '; } 2>/dev/null || echo failed', 'r')
  local found = {}
  for line in pipe:lines() do
    local key, text = line:match('^(%a+) ?(.*)$')
    if key then
      found[key] = text
    end
  end
  pipe:close()
  return found
end

local function filter(options)
  -- Within an allocation its nodes are chosen.
  if os.getenv(guard) or os.getenv('SLURM_JOB_ID') then
    return
  end
  local words = words_of(options)
  if #words == 0 then
    return
  end
  local found = answer_for(words)
  if found.failed then
    slurm.log_info('metahub: metahub-node gave no answer within %d s: the job goes on unchanged', limit)
    return
  end
  if found.note then
    slurm.log_info('metahub: %s', found.note)
  end
  -- Who names nodes or a constraint has chosen.
  local chosen = value(options, 'constraint') or value(options, 'nodelist')
  if found.constraint and not chosen then
    options['constraint'] = found.constraint
    slurm.log_info('metahub: constraint %s, for %s', found.constraint, found.image)
  end
  if found.image and options['export'] ~= 'invalid-context' then
    local export = value(options, 'export') or 'ALL'
    -- A job that asked for no environment gets none.
    if export ~= 'NONE' and export ~= 'NIL' then
      options['export'] = export .. ',METAHUB_IMAGE=' .. found.image
    end
  end
end

return function(options)
  local done, problem = pcall(filter, options)
  if not done then
    slurm.log_info('metahub: %s: the job goes on unchanged', tostring(problem))
  end
end
